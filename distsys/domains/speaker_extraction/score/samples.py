"""The chosen examples of an evaluation as recordings."""

from __future__ import annotations

from collections.abc import Mapping

from distsys.domains.protocol import EvalSet, Evaluation
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.score.evaluation import Found
from distsys.signals.audio import wav_bytes


def samples(model: Extractor, data: EvalSet, evaluation: Evaluation) -> Mapping[str, bytes]:
    """Mixture, enrolment, target and estimate of each example as .wav files by name."""
    found = evaluation.details
    assert isinstance(found, Found)
    return {
        f"{example.label.replace(' ', '_')}_{name}.wav": wav_bytes(sound, rate_hz=model.sample_rate_hz)
        for example in found.examples
        for name, sound in example.sounds().items()
    }
