"""Near-field localisation: a learned covariance on which MUSIC works where sources are coherent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from distsys.domains.kit import DomainInRooms
from distsys.domains.protocol import (
    Batch,
    FieldSpec,
    MetricSpec,
    Prediction,
    Program,
    RoundTrip,
    Statistics,
    TermSpec,
)
from distsys.domains.ris_localization.config import MAX_SOURCES, CalibrationRequest, Config, Request
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    from torch import Tensor

    from distsys.domains.ris_localization.data.scenes import SceneSource
    from distsys.domains.ris_localization.model.network import CovarianceNet


class RisLocalization(DomainInRooms[Config, "CovarianceNet"]):
    """Domain ``ris_localization``."""

    name = "ris_localization"
    title = "Sources near a surface: azimuth, elevation and range from few snapshots"
    config = Config
    request = Request
    calibration = CalibrationRequest
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
    fields = (
        FieldSpec("snapshots", "noisy input", "1", spread=(0.2, 20.0)),
        FieldSpec("num_sources", "conditioning", "count", 1.0, MAX_SOURCES),
        FieldSpec("num_snapshots", "bookkeeping", "count", 1.0),
        FieldSpec("uvq", "target", "1, 1, 1/m", -1.0, columns=("u", "v", "q")),
        FieldSpec("amplitudes", "target", "1"),
        FieldSpec("noise_variance", "bookkeeping", "1", 0.0),
        FieldSpec("snr_db", "bookkeeping", "dB"),
        FieldSpec("correlation", "bookkeeping", "1", 0.0, 1.0),
    )

    def counts(self, batch: Batch, *, config: Config) -> Mapping[str, Tensor]:
        """Sources, which ``peak_contrast`` is a mean over."""
        return {"peak_contrast": batch["num_sources"].sum()}

    def renoised(self, source: SceneSource) -> SceneSource:
        """The same scenes and signals in other noise."""
        return source.renoised()

    def round_trip(self, config: Config, statistics: Statistics, batch: Batch) -> Mapping[str, RoundTrip]:
        """Places of sources through angles and ranges and back."""
        return self._room("data.geometry").round_trip(batch["uvq"], batch["num_sources"])

    def calibrate(self, config: Config, request: CalibrationRequest) -> Prediction:
        """Gains, phases and positions of the elements from recorded snapshots."""
        return self._room("score.learned").calibrate(config, request)

    def program(self, model: CovarianceNet) -> Program:
        """Snapshots to the factors of a covariance."""
        return self._room("program").program(model)
