"""Ground motion: broadband records from the part below 1 Hz, judged by what is added above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distsys.domains.ground_motion.config import Config, Request
from distsys.domains.protocol import (
    Batch,
    DataBundle,
    EvalSet,
    Evaluation,
    Inspection,
    MetricSpec,
    Prediction,
    TermSpec,
)
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn


class GroundMotion:
    """Domain ``ground_motion``; heavy modules are loaded when they are needed."""

    name = "ground_motion"
    title = "Broadband ground motion from its part below 1 Hz: samples with the right spread"
    config = Config
    request = Request
    selection = MetricSpec("crps", "min", "ln")
    constraints = (
        Constraint("envelope_correlation", low=0.99, fix="sampling must keep the part below 1 Hz that it was given"),
        Constraint("low_frequency_error", high=0.05, fix="sampling must keep the part below 1 Hz that it was given"),
        Constraint(
            "coverage_lowest", low=0.8, fix="train shorter or raise model.dropout: the spread has become too small"
        ),
        Constraint("coverage_highest", high=0.98, fix="train longer: the spread is too large to mean anything"),
        Constraint("shuffle_loss", low=0.1, fix="the conditioning is ignored: train longer, or look for a dead path"),
    )
    terms = (
        TermSpec("fit", "1", -20.0),
        TermSpec("envelope", "1", 0.0),
    )

    def build_data(self, config: Config, *, seed: int) -> DataBundle:
        """Records from files, or synthetic ones, split by event."""
        from distsys.domains.ground_motion.data import build_data

        return build_data(config, seed=seed)

    def build_model(self, config: Config, statistics: Mapping[str, Tensor | list[str]]) -> nn.Module:
        """The committee; it remembers the regression of levels and the mean spectrum of every fold."""
        from distsys.domains.ground_motion.model import Committee

        return Committee(config, statistics)  # type: ignore[arg-type]

    def loss_terms(self, model: Any, batch: Batch, *, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Unweighted terms of one batch, see ``losses``."""
        from distsys.domains.ground_motion.losses import loss_terms

        return loss_terms(model, batch, generator=generator)

    def evaluate(self, model: Any, data: EvalSet) -> Evaluation:
        """Scores of ensembles by members that never saw the event."""
        from distsys.domains.ground_motion.evaluation import evaluate

        return evaluate(model, data)

    def figures(self, model: Any, data: EvalSet) -> Mapping[str, Figure]:
        """Motions, envelopes, spectra, Husid curves."""
        from distsys.domains.ground_motion.figures import make_figures

        return make_figures(model, data)

    def inspect(self, config: Config, *, seed: int) -> Inspection:
        """Records by source: peaks, spectra, and the scale that a diffusion would see."""
        from distsys.domains.ground_motion.inspection import inspect

        return inspect(config, seed=seed)

    def predict(self, model: Any, request: Request) -> Prediction:
        """Motions for a given part below 1 Hz."""
        import torch

        from distsys.domains.ground_motion.answer import answer

        with torch.no_grad():
            return answer(model, request)
