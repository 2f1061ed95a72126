"""Ground motion: broadband records from the part below 1 Hz, judged by what is added above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from distsys.domains.ground_motion.config import NUM_FOLDS, Config, Request
from distsys.domains.kit import DomainInRooms
from distsys.domains.protocol import (
    Batch,
    FieldSpec,
    Generation,
    Inspection,
    MetricSpec,
    Program,
    RoundTrip,
    Statistics,
    TermSpec,
)
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    import torch

    from distsys.domains.ground_motion.model.network import Committee


class GroundMotion(DomainInRooms[Config, "Committee"]):
    """Domain ``ground_motion``."""

    name = "ground_motion"
    title = "Broadband ground motion from its part below 1 Hz: samples with the right spread"
    config = Config
    request = Request
    selection = MetricSpec("crps", "min", "ln")
    constraints = (
        Constraint("envelope_correlation", low=0.99, fix="sampling must keep the part below 1 Hz that it was given"),
        Constraint("low_frequency_error", high=0.05, fix="sampling must keep the part below 1 Hz that it was given"),
        Constraint(
            "coverage_lowest",
            low=0.8,
            fix="raise model.dropout where coverage/envelope is lowest; else levels are unlike those of training, "
            "which no setting of the network moves: add records of other events and networks",
        ),
        Constraint("coverage_highest", high=0.98, fix="add earthquakes: the spread is too large to mean anything"),
        Constraint("shuffle_loss", low=0.1, fix="the conditioning is ignored: train longer, or look for a dead path"),
    )
    terms = (
        TermSpec("fit", "1", -20.0),
        TermSpec("envelope", "1", 0.0),
    )
    fields = (
        FieldSpec("motion", "input", "g", -5.0, 5.0, spread=(2e-4, 1.0)),
        FieldSpec("member", "conditioning", "index", 0.0, NUM_FOLDS - 1.0),
    )

    def generation(self, model: Committee, batch: Batch, *, generator: torch.Generator) -> Generation:
        """Noise levels of the diffusing routes, and what samples keep below 1 Hz."""
        return self._room("model.generation").generation(model, batch, generator=generator)

    def inspect(self, config: Config, *, seed: int) -> Inspection:
        """Records by source: peaks, spectra, and the scale that a diffusion would see."""
        return self._room("data.inspection").inspect(config, seed=seed)

    def round_trip(self, config: Config, statistics: Statistics, batch: Batch) -> Mapping[str, RoundTrip]:
        """A motion written and read again, in PEER's format and over its peak."""
        return self._room("data.rereading").round_trip(batch["motion"])

    def program(self, model: Committee) -> Program:
        """A part below 1 Hz and noise to motions."""
        return self._room("program").program(model)
