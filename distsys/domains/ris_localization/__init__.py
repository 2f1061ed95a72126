"""Near-field localisation: a learned covariance on which MUSIC works where sources are coherent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distsys.domains.protocol import Batch, DataBundle, EvalSet, Evaluation, MetricSpec, Prediction, TermSpec
from distsys.domains.ris_localization.config import Config, Request
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn


class RisLocalization:
    """Domain ``ris_localization``; heavy modules are loaded when they are needed."""

    name = "ris_localization"
    title = "Sources near a surface: azimuth, elevation and range from few snapshots"
    config = Config
    request = Request
    selection = MetricSpec("music_position_error_m", "min", "m")
    constraints = (
        Constraint(
            "eigenvalue_ratio",
            low=0.3,
            fix="raise lambda_covariance: the rank has collapsed, which alignment alone rewards",
        ),
        Constraint(
            "success_over_raw_music",
            low=0.0,
            fix="train longer: on coherent scenes MUSIC finds more without the network",
        ),
    )
    terms = (
        TermSpec("covariance", "1", 0.0, scale="invariant"),
        TermSpec("subspace_align", "1", 0.0, scale="invariant"),
        TermSpec("peak_contrast", "nat", -math.log(1.25), scale="invariant"),  # -log(1 + load / N), load <= 1, N >= 4
    )

    def build_data(self, config: Config, *, seed: int) -> DataBundle:
        """Simulated scenes."""
        from distsys.domains.ris_localization.data import build_data

        return build_data(config, seed=seed)

    def build_model(self, config: Config, statistics: Mapping[str, Tensor | list[str]]) -> nn.Module:
        """The network; it remembers nothing of its training scenes."""
        from distsys.domains.ris_localization.model import CovarianceNet

        return CovarianceNet(config)

    def loss_terms(self, model: Any, batch: Batch, *, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Unweighted terms of one batch, see ``losses``."""
        from distsys.domains.ris_localization import losses
        from distsys.domains.ris_localization.evaluation import true_columns

        factors, steering = model(batch), true_columns(model.config.data, batch)
        settings = model.config.model
        align = losses.align_loss if settings.align_form == "linear" else losses.squared_align_loss
        return {
            "covariance": losses.covariance_loss(factors, steering=steering, load=settings.load),
            "subspace_align": align(factors, steering=steering),
            "peak_contrast": losses.contrast_loss(factors, steering=steering, load=settings.load),
        }

    def evaluate(self, model: Any, data: EvalSet) -> Evaluation:
        """MUSIC on the learned covariance, and maximum likelihood from there, by condition."""
        from distsys.domains.ris_localization.evaluation import evaluate

        return evaluate(model, data)

    def figures(self, model: Any, data: EvalSet) -> Mapping[str, Figure]:
        """Spectra, errors against SNR, truth against estimate, bias of wave models."""
        from distsys.domains.ris_localization.figures import make_figures

        return make_figures(model, data)

    def predict(self, model: Any, request: Request) -> Prediction:
        """Sources of recorded snapshots with their standard deviations, as CSV or JSON."""
        import torch

        from distsys.domains.ris_localization.answer import answer

        with torch.no_grad():
            return answer(model, request)
