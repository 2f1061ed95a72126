"""A semantic equaliser: a latent space of parametric-equaliser settings in which words have a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from distsys.domains.kit import DomainInRooms
from distsys.domains.protocol import (
    Batch,
    FieldSpec,
    Inspection,
    MetricSpec,
    Outputs,
    Program,
    RoundTrip,
    Statistics,
    TermSpec,
)
from distsys.domains.semantic_eq.config import Config, Request
from distsys.domains.semantic_eq.data.settings import KINDS
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    from torch import Tensor

    from distsys.domains.semantic_eq.model.network import SettingAutoencoder


class SemanticEq(DomainInRooms[Config, "SettingAutoencoder"]):
    """Domain ``semantic_eq``."""

    name = "semantic_eq"
    title = "Equaliser settings for words: encode, decode, move along a word"
    config = Config
    request = Request
    selection = MetricSpec("response_mae_db", "min", "dB", ties_by=MetricSpec("encoder_mae_db", "min", "dB"))
    constraints = (
        Constraint("in_bounds_fraction", low=1.0, fix="bound the decoder's heads: model.heads: clamp"),
        Constraint("active_units", low=2.0, fix="lower lambda_kl or lambda_contrastive: the latent has collapsed"),
        Constraint("encoder_skill", low=0.5, fix="train longer, or lower optimizer.learning_rate: codes are wrong"),
    )
    terms = (
        TermSpec("response", "(dB/3)^2", 0.0),
        TermSpec("params", "u^2", 0.0),
        TermSpec("contrastive", "nat", 0.0, scale="invariant"),
        TermSpec("isometry", "1", 0.0, scale="invariant"),
        TermSpec("excess", "u^2", 0.0),
        TermSpec("kl", "nat", 0.0),
    )
    fields = (
        FieldSpec("u", "input", "1", 0.0, 1.0, spread=(0.02, 0.5), columns=KINDS),
        FieldSpec("curve_db", "input", "dB", -150.0, 150.0, spread=(0.3, 20.0)),
        FieldSpec("label", "target", "index", -1.0),
    )

    def compared(self, outputs: Outputs, batch: Batch) -> Mapping[str, Tensor]:
        """What the contrastive term and the isometry compare."""
        return self._room("model.terms").compared(outputs, batch)

    def comparing_terms(self, compared: Mapping[str, Tensor], *, config: Config) -> Mapping[str, Tensor]:
        """Both of them."""
        return self._room("model.terms").comparing_terms(compared, config=config)

    def round_trip(self, config: Config, statistics: Statistics, batch: Batch) -> Mapping[str, RoundTrip]:
        """Every parameter through u and back."""
        return self._room("data.settings").ranges_of(config.data).round_trip(batch["u"])

    def inspect(self, config: Config, *, seed: int) -> Inspection:
        """Ranges of parameters, levels of curves, and words."""
        return self._room("data.inspection").inspect(config, seed=seed)

    def program(self, model: SettingAutoencoder) -> Program:
        """Settings moved towards words."""
        return self._room("program").program(model)
