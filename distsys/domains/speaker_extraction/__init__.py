"""Target speaker extraction: one voice out of a mixture, chosen by an enrolment, at its level in the mixture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from distsys.domains.kit import DomainInRooms
from distsys.domains.protocol import (
    Batch,
    EvalSet,
    Evaluation,
    FieldSpec,
    MetricSpec,
    Program,
    RoundTrip,
    Statistics,
    TermSpec,
)
from distsys.domains.speaker_extraction.config import RMS_RATIO_BAND, Config, Request
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    from distsys.domains.speaker_extraction.model.network import Extractor


class SpeakerExtraction(DomainInRooms[Config, "Extractor"]):
    """Domain ``speaker_extraction``; it can be listened to and exported besides."""

    name = "speaker_extraction"
    title = "One speaker out of a mixture, by an enrolment; silence where the speaker is absent"
    config = Config
    request = Request
    selection = MetricSpec("si_sdr_db", "max", "dB")
    constraints = (
        Constraint(
            "rms_ratio",
            *RMS_RATIO_BAND,
            fix="raise lambda_amp; if it is below 1, lower lambda_ta_energy: its pull reaches present targets",
        ),
        Constraint(
            "ta_attenuation_db",
            low=10.0,
            fix="train longer on absent targets (data.ta_from, data.ta_share) or raise lambda_ta_energy",
        ),
    )
    terms = (
        TermSpec("sisdr", "dB", -60.0, scale="invariant"),
        TermSpec("ta_energy", "dB", 0.0),
        TermSpec("amp", "Np^2", 0.0),
        TermSpec("phase", "1", 0.0),
    )
    fields = (
        FieldSpec("mixture", "input", "full scale", -1.0, 1.0, spread=(3e-3, 0.7)),
        FieldSpec("enrolment", "conditioning", "full scale", spread=(3e-3, 0.7)),
        FieldSpec("sources", "target", "full scale", spread=(3e-3, 0.7)),
        FieldSpec("asked", "target", "index", -1.0, 1.0),
    )

    def samples(self, model: Extractor, data: EvalSet, evaluation: Evaluation) -> Mapping[str, bytes]:
        """Mixtures, enrolments, targets and estimates to listen to."""
        return self._room("score.samples").samples(model, data, evaluation)

    def program(self, model: Extractor) -> Program:
        """Waveforms to waveforms."""
        return self._room("program").program(model)

    def round_trip(self, config: Config, statistics: Statistics, batch: Batch) -> Mapping[str, RoundTrip]:
        """A mixture through the transform that masks are laid over, and back."""
        return self._room("model.terms").round_trip(batch["mixture"], config.model)
