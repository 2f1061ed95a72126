"""From picks to sound: mixtures, their sources and enrolments as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft

from distsys.domains.protocol import Batch
from distsys.domains.speaker_extraction.corpus import Corpus, Crops, crop_grid
from distsys.domains.speaker_extraction.picks import Picker, Picks

_PEAK = 0.95
"""A louder mixture is scaled down to it, its sources by the same factor."""


class NoiseBank:
    """Noise recordings, from which loud enough crops are taken."""

    def __init__(self, recordings: Corpus, *, lengths: Sequence[int], sample_rate_hz: int) -> None:
        grid = crop_grid(sample_rate_hz)
        self._recordings = recordings
        self._crops: dict[int, Crops] = {length: recordings.crops(length, grid=grid) for length in lengths}

    def take(self, which: np.ndarray, place: np.ndarray, length: int) -> np.ndarray:
        """[..., length] of unit RMS, ``which`` and ``place`` being numbers in (0, 1)."""
        number = (which * self._recordings.num_speakers).astype(np.int64)
        starts = self._recordings.starts[number] + self._crops[length].pick(number, place)
        return _with_rms(windows(self._recordings.samples, starts, length), np.ones(which.shape))


@dataclass(frozen=True)
class Mixer:
    """Sound for picks.

    Args:
        lengths: samples of mixtures and of enrolments.
        noise: what is added where picks have an SNR, or None.
        rooms: [rooms, taps] impulse responses, or None; the corpus has that many zeros before each utterance.
    """

    corpus: Corpus
    lengths: tuple[int, int]
    noise: NoiseBank | None = None
    rooms: np.ndarray | None = None

    def render(self, picks: Picks) -> Batch:
        """``mixture`` [items, time], ``sources`` [items, speakers, time], ``enrolment`` [items, queries, time],
        ``asked`` [items, queries] with the index of the source that is wanted, -1 for silence."""
        length, enrol_length = self.lengths
        sources = _with_rms(self._sources(picks, length), picks.level)
        mixture = self._noisy(sources.sum(axis=1), picks.noise, picks.noise_at, picks.snr_db)
        gain = _PEAK / np.maximum(np.abs(mixture).max(axis=-1), _PEAK)
        begin = self.corpus.starts[picks.enrol_utterance] + picks.enrol_offset
        enrolment = windows(self.corpus.samples, begin, enrol_length)
        enrolment = self._noisy(enrolment, picks.enrol_noise, picks.enrol_noise_at, picks.enrol_snr_db)
        return {
            "mixture": _tensor(mixture * gain[:, None]),
            "sources": _tensor(sources * gain[:, None, None]),
            "enrolment": _tensor(enrolment),
            "asked": torch.from_numpy(picks.asked.astype(np.int64)),
        }

    def _sources(self, picks: Picks, length: int) -> np.ndarray:
        begin = self.corpus.starts[picks.utterance] + picks.offset
        if self.rooms is None:
            return windows(self.corpus.samples, begin, length)
        taps = self.rooms.shape[1]
        dry = windows(self.corpus.samples, begin - taps, length + taps)
        return reverberant(dry, self.rooms[(picks.room * len(self.rooms)).astype(np.int64)])[..., taps:]

    def _noisy(self, clean: np.ndarray, which: np.ndarray, place: np.ndarray, snr_db: np.ndarray) -> np.ndarray:
        if self.noise is None or not np.isfinite(snr_db).any():
            return clean
        level = np.where(np.isfinite(snr_db), rms(clean) * 10.0 ** (-snr_db / 20.0), 0.0)
        noise = self.noise.take(which, place, clean.shape[-1])
        return np.asarray(clean + (noise * level[..., None]).astype(np.float32))


@dataclass(frozen=True)
class MixtureSource:
    """Endless training mixtures: an item depends on the seed, its index and the progress alone."""

    picker: Picker
    mixer: Mixer

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """The mixtures at ``indices``."""
        return self.mixer.render(self.picker.draw(indices, progress=progress))


def windows(samples: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """[..., length] of ``samples`` from each of ``starts``."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(samples, length)[starts])


def rms(samples: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis, summed in float64."""
    return np.asarray(np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=-1)))


def reverberant(dry: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """``dry`` [..., time] through ``responses`` [..., taps], as long as ``dry``."""
    size = next_fast_len(dry.shape[-1] + responses.shape[-1] - 1, real=True)
    spectrum = rfft(dry.astype(np.float64), size) * rfft(responses.astype(np.float64), size)
    return np.asarray(irfft(spectrum, size)[..., : dry.shape[-1]], dtype=np.float32)


def _with_rms(samples: np.ndarray, level: np.ndarray) -> np.ndarray:
    gain = (level / np.maximum(rms(samples), 1e-12)).astype(np.float32)
    return np.asarray(samples * gain[..., None])


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
