"""What the mixtures of one part are made of, and where crops of it may begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from distsys.domains.speaker_extraction.data.corpus import Corpus, Crops, Voices, crop_grid
from distsys.signals.levels import with_rms

Lengths = tuple[int, int]
"""Samples of mixtures and of enrolments."""


@dataclass(frozen=True)
class NoiseBank:
    """Noise recordings, from which loud enough crops are taken.

    Args:
        crops: by their length.
    """

    recordings: Corpus
    crops: dict[int, Crops]

    @classmethod
    def of(cls, noises: Voices, *, lengths: Lengths, sample_rate_hz: int) -> Self:
        """The bank of ``noises``."""
        recordings, grid = Corpus.of(noises, longest_crop=max(lengths)), crop_grid(sample_rate_hz)
        return cls(recordings, {length: recordings.crops(length, grid=grid) for length in lengths})

    def take(self, which: np.ndarray, place: np.ndarray, length: int) -> np.ndarray:
        """[..., length] of unit RMS, ``which`` and ``place`` being numbers in (0, 1)."""
        number = (which * self.recordings.num_speakers).astype(np.int64)
        starts = self.recordings.starts[number] + self.crops[length].pick(number, place)
        return with_rms(windows(self.recordings.samples, starts, length), np.ones(which.shape))


@dataclass(frozen=True)
class Stock:
    """Speech, noise and rooms of one part.

    Args:
        num_persons: speakers of the corpus before changes of speed; those of one person are this far apart.
        mixture_crops, enrolment_crops: where they may begin.
        noise: what is added where mixtures have an SNR, or None.
        rooms: [rooms, taps] impulse responses, or None; the corpus has that many zeros before each utterance.
    """

    corpus: Corpus
    num_persons: int
    lengths: Lengths
    mixture_crops: Crops
    enrolment_crops: Crops
    noise: NoiseBank | None = None
    rooms: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        voices: Voices,
        *,
        num_persons: int,
        lengths: Lengths,
        sample_rate_hz: int,
        noise: NoiseBank | None = None,
        rooms: np.ndarray | None = None,
    ) -> Self:
        """The stock of ``voices``, those of ``num_persons`` first and then each of these at other speeds."""
        lead = 0 if rooms is None else rooms.shape[1]
        corpus = Corpus.of(voices, longest_crop=max(lengths), lead=lead)
        mixtures, enrolments = (corpus.crops(length, grid=crop_grid(sample_rate_hz)) for length in lengths)
        return cls(corpus, num_persons, lengths, mixtures, enrolments, noise, rooms)


def windows(samples: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """[..., length] of ``samples`` from each of ``starts``."""
    return np.lib.stride_tricks.sliding_window_view(samples, length)[starts]
