"""One utterance in two files is found whatever was done to it, and no two utterances are taken for one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.near_copies import ALIKE, envelope_db, likeness
from distsys.domains.speaker_extraction.data.speakers import read_speakers
from distsys.domains.speaker_extraction.data.synthetic import synthetic_voices
from distsys.errors import DataError

RATE_HZ = 8000
VOICES = synthetic_voices(4, seconds=5.0, sample_rate_hz=RATE_HZ, seed=3)
RANDOM = np.random.default_rng(0)
COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "level": lambda x: 0.2 * x,
    "bit depth": lambda x: np.round(x * 2**9) / 2**9,
    "offset": lambda x: x + 0.05,
    "cut": lambda x: x[RATE_HZ : 4 * RATE_HZ],
    "microphone": lambda x: (
        np.convolve(lfilter([1.0, -0.3], [1.0, -0.1], x), [1.0, 0.0, 0.0, 0.2])[: len(x)]
        + 1e-3 * RANDOM.standard_normal(len(x))
    ),
    "later": lambda x: np.concatenate((1e-4 * RANDOM.standard_normal(3000), x)),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_sounds_alike(name: str) -> None:
    for recordings in VOICES.values():
        original = recordings[0]
        copy = COPIES[name](original)
        assert likeness(envelope_db(original, RATE_HZ), envelope_db(copy, RATE_HZ)) > ALIKE


def test_two_utterances_do_not() -> None:
    envelopes = [envelope_db(samples, RATE_HZ) for recordings in VOICES.values() for samples in recordings]
    assert max(likeness(one, other) for one, other in combinations(envelopes, 2)) < ALIKE
    assert likeness(envelopes[0], envelopes[0]) == pytest.approx(1.0)


def test_silence_and_clicks_are_like_nothing() -> None:
    silence = envelope_db(np.zeros(RATE_HZ), RATE_HZ)
    assert likeness(silence, envelope_db(VOICES[next(iter(VOICES))][0], RATE_HZ)) < ALIKE
    assert likeness(envelope_db(np.zeros(10), RATE_HZ), silence) == 0.0


def test_a_near_copy_is_left_out_and_told(tmp_path: Path) -> None:
    for number, (name, recordings) in enumerate(VOICES.items()):
        (tmp_path / name).mkdir()
        for index, samples in enumerate(recordings[:2]):
            soundfile.write(tmp_path / name / f"{index}.wav", samples, RATE_HZ)
        if number == 0:
            soundfile.write(tmp_path / name / "copy.flac", 0.5 * recordings[0], RATE_HZ)
    faults = Faults(tmp_path)
    found = read_speakers(DataConfig(speakers=tmp_path, sample_rate_hz=RATE_HZ), faults)
    assert {len(items) for items in found.voices.values()} == {2}
    (line,) = faults.lines
    assert "the same utterance as" in line
    assert "copy.flac" in line


def test_recordings_without_folders_of_speakers(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", VOICES[next(iter(VOICES))][0], RATE_HZ)
    with pytest.raises(DataError, match="recordings, and no folder of a speaker"):
        read_speakers(DataConfig(speakers=tmp_path, sample_rate_hz=RATE_HZ), Faults(tmp_path))
