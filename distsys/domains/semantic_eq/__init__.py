"""A semantic equaliser: a latent space of parametric-equaliser settings in which words have a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distsys.domains.protocol import Batch, DataBundle, EvalSet, Evaluation, MetricSpec, Prediction, TermSpec
from distsys.domains.semantic_eq.config import Config, Request
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn


class SemanticEq:
    """Domain ``semantic_eq``; heavy modules are loaded when they are needed."""

    name = "semantic_eq"
    title = "Equaliser settings for words: encode, decode, move along a word"
    config = Config
    request = Request
    selection = MetricSpec("response_mae_db", "min", "dB")
    constraints = (
        Constraint("in_bounds_fraction", low=1.0, fix="bound the decoder's heads: model.heads: clamp"),
        Constraint("active_units", low=2.0, fix="lower lambda_kl or lambda_contrastive: the latent has collapsed"),
    )
    terms = (
        TermSpec("response", "(dB/3)^2", 0.0),
        TermSpec("params", "u^2", 0.0),
        TermSpec("contrastive", "nat", 0.0, scale="invariant"),
        TermSpec("excess", "u^2", 0.0),
        TermSpec("kl", "nat", 0.0),
    )

    def build_data(self, config: Config, *, seed: int) -> DataBundle:
        """Settings of a file or synthetic ones, split by the person who made them."""
        from distsys.domains.semantic_eq.data import build_data

        return build_data(config, seed=seed)

    def build_model(self, config: Config, statistics: Mapping[str, Tensor | list[str]]) -> nn.Module:
        """The autoencoder; it keeps the words' settings, which ``predict`` needs."""
        from distsys.domains.semantic_eq.model import SettingAutoencoder

        return SettingAutoencoder(config.model, statistics)

    def loss_terms(self, model: Any, batch: Batch, *, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Unweighted terms of one batch, see ``losses``."""
        from distsys.domains.semantic_eq import losses
        from distsys.domains.semantic_eq.response import response_db

        code = model.encode(batch["u"], curve_db=batch["curve_db"])
        activation = model.activations(code.sample(generator) if model.training else code.mean)
        u = model.bound(activation)
        return {
            "response": losses.response_loss(response_db(u), target_db=batch["curve_db"]),
            "params": losses.parameter_loss(u, target_u=batch["u"]),
            "contrastive": losses.contrastive_loss(
                model.projection(code.mean).float(), label=batch["label"], temperature=model.temperature
            ),
            "excess": losses.excess_loss(activation),
            "kl": (activation * 0.0).sum()
            if code.log_variance is None
            else losses.kl_loss(code.mean.float(), log_variance=code.log_variance.float()),
        }

    def evaluate(self, model: Any, data: EvalSet) -> Evaluation:
        """Reconstruction, bounds and the place of words, on one frozen batch."""
        from distsys.domains.semantic_eq.evaluation import evaluate

        return evaluate(model, data)

    def figures(self, model: Any, data: EvalSet) -> Mapping[str, Figure]:
        """Responses, latent map, word curves."""
        from distsys.domains.semantic_eq.figures import make_figures

        assert data.reference is not None
        return make_figures(model, data.batches[0], data.reference, model.statistics["terms"])

    def predict(self, model: Any, request: Request) -> Prediction:
        """A setting for a word, as Equalizer APO text, JSON or CSV."""
        import torch

        from distsys.domains.semantic_eq.answer import WordMap, answer

        with torch.no_grad():
            return answer(model, WordMap(model, model.statistics), request)
