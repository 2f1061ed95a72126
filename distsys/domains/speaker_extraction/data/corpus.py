"""Recordings in memory: one array of samples, and where each speaker's utterances lie in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Self

import numpy as np

from distsys.domains.protocol import digest
from distsys.signals.resampling import resampled

_GRID_S = 0.02
"""Crops begin at multiples of this."""
_LEAST_CROP_ENERGY = 0.16
"""Of a crop beside its utterance's mean: -8 dB, so that no crop is a pause."""
_FINEST_SPEED = 1000
"""Speeds are rounded to fractions with denominators up to this."""

Voices = Mapping[str, Sequence[np.ndarray]]
"""Utterances [time] of each speaker, two or more."""


@dataclass(frozen=True)
class Corpus:
    """Utterances end to end, those of one speaker next to each other.

    Args:
        samples: [time] float32; before every utterance lie ``lead`` zeros, and short ones are followed by zeros.
        starts, lengths: of each utterance in ``samples``.
        first, count: utterances of each speaker.
        names: of the speakers.
    """

    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    first: np.ndarray
    count: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, voices: Voices, *, longest_crop: int, lead: int = 0) -> Self:
        """The corpus of ``voices``, from which crops of up to ``longest_crop`` samples can be taken."""
        utterances = [item for items in voices.values() for item in items]
        starts, place = [], 0
        for item in utterances:
            starts.append(place + lead)
            place += lead + max(len(item), longest_crop)
        samples = np.zeros(place, dtype=np.float32)
        for start, item in zip(starts, utterances, strict=True):
            samples[start : start + len(item)] = item
        count = np.array([len(items) for items in voices.values()], dtype=np.int64)
        return cls(
            samples=samples,
            starts=np.array(starts, dtype=np.int64),
            lengths=np.array([len(item) for item in utterances], dtype=np.int64),
            first=np.cumsum(count) - count,
            count=count,
            names=tuple(voices),
        )

    @property
    def num_speakers(self) -> int:
        return len(self.names)

    @cached_property
    def digest(self) -> str:
        """Hash of the samples and of whose they are."""
        return digest(self.samples, "\n".join(self.names).encode(), self.starts, self.count)

    def crops(self, length: int, *, grid: int) -> Crops:
        """Where crops of ``length`` samples may begin: at multiples of ``grid`` and not in a pause."""
        offsets = [self._loud_offsets(number, length, grid) for number in range(len(self.starts))]
        count = np.array([len(item) for item in offsets], dtype=np.int64)
        return Crops(np.concatenate(offsets), np.cumsum(count) - count, count)

    def _loud_offsets(self, number: int, length: int, grid: int) -> np.ndarray:
        start, size = self.starts[number], self.lengths[number]
        energy = np.cumsum(np.square(self.samples[start : start + size], dtype=np.float64))
        offsets = np.arange(0, max(size - length, 0) + 1, grid)
        ends = np.minimum(offsets + length, size) - 1
        inside = energy[ends] - np.where(offsets > 0, energy[offsets - 1], 0.0)
        mean = energy[-1] / size * (ends + 1 - offsets)
        loud = offsets[inside >= _LEAST_CROP_ENERGY * mean]
        return loud if len(loud) else offsets[[int(np.argmax(inside))]]


@dataclass(frozen=True)
class Crops:
    """Allowed offsets of every utterance: ``offsets[first[u] : first[u] + count[u]]``."""

    offsets: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def pick(self, utterance: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """An offset into each of ``utterance`` for numbers in (0, 1)."""
        return self.offsets[self.first[utterance] + (uniform * self.count[utterance]).astype(np.int64)]


def crop_grid(sample_rate_hz: int) -> int:
    """Samples between places at which crops may begin."""
    return max(1, round(_GRID_S * sample_rate_hz))


def two_parts(utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
    """At least two utterances: a single one is cut in half, so that enrolment and target never overlap."""
    if len(utterances) > 1:
        return list(utterances)
    middle = len(utterances[0]) // 2
    return [utterances[0][:middle], utterances[0][middle:]]


def with_speeds(voices: Voices, speeds: Iterable[float]) -> dict[str, list[np.ndarray]]:
    """``voices``, then the same at each other speed than 1: pitch and formants move, so these are other speakers."""
    result = {name: list(items) for name, items in voices.items()}
    for speed in speeds:
        if speed == 1.0:
            continue
        ratio = Fraction(speed).limit_denominator(_FINEST_SPEED)
        for name, items in voices.items():
            result[f"{name} at {speed:g}"] = [
                resampled(item, up=ratio.denominator, down=ratio.numerator) for item in items
            ]
    return result
