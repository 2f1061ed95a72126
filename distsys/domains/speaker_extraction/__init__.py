"""Target speaker extraction: one voice out of a mixture, told by an enrolment, at its own level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distsys.domains.protocol import Batch, DataBundle, EvalSet, Evaluation, MetricSpec, Prediction, TermSpec
from distsys.domains.speaker_extraction.config import LEVEL_BAND, Config, Request
from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn


class SpeakerExtraction:
    """Domain ``speaker_extraction``; heavy modules are loaded when they are needed."""

    name = "speaker_extraction"
    title = "One speaker out of a mixture, by an enrolment; silence where the speaker is absent"
    config = Config
    request = Request
    selection = MetricSpec("si_sdr_db", "max", "dB")
    constraints = (
        Constraint(
            "rms_ratio",
            *LEVEL_BAND,
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

    def build_data(self, config: Config, *, seed: int) -> DataBundle:
        """Recordings from folders, or synthetic voices."""
        from distsys.domains.speaker_extraction.data import build_data

        return build_data(config, seed=seed)

    def build_model(self, config: Config, statistics: Mapping[str, Tensor | list[str]]) -> nn.Module:
        """The extractor; it remembers nobody it was trained on."""
        from distsys.domains.speaker_extraction.model import Extractor

        return Extractor(config)

    def loss_terms(self, model: Any, batch: Batch, *, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Unweighted terms of one batch, see ``losses``."""
        from distsys.domains.speaker_extraction.terms import loss_terms

        return loss_terms(model, batch)

    def evaluate(self, model: Any, data: EvalSet) -> Evaluation:
        """SI-SDR, its gain, level and silence, by group of speakers."""
        from distsys.domains.speaker_extraction.evaluation import evaluate

        return evaluate(model, data)

    def figures(self, model: Any, data: EvalSet) -> Mapping[str, Figure]:
        """Spectrograms, gains, levels."""
        from distsys.domains.speaker_extraction.figures import make_figures

        return make_figures(model, data)

    def samples(self, model: Any, data: EvalSet) -> Mapping[str, bytes]:
        """Mixtures, targets and estimates to listen to."""
        from distsys.domains.speaker_extraction.samples import make_samples

        return make_samples(model, data)

    def predict(self, model: Any, request: Request) -> Prediction:
        """One speaker of a recording, as .wav at the recording's rate and length."""
        import torch

        from distsys.domains.speaker_extraction.answer import answer

        with torch.no_grad():
            return answer(model, request)

    def export(self, model: Any) -> Mapping[str, bytes]:
        """The extractor as a program that needs no distsys, by file suffix."""
        from distsys.domains.speaker_extraction.export import export

        return export(model)
