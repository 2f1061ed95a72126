"""From picks to sound: mixtures, their sources and enrolments as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft

from distsys.domains.protocol import Batch
from distsys.domains.speaker_extraction.data.picker import Picker
from distsys.domains.speaker_extraction.data.picks import Picks
from distsys.domains.speaker_extraction.data.stock import Stock, windows
from distsys.signals.levels import rms, with_rms

_PEAK = 0.95
"""A louder mixture is scaled down to it, its sources by the same factor."""


@dataclass(frozen=True)
class Mixer:
    """Sound for picks, out of ``stock``."""

    stock: Stock

    def render(self, picks: Picks) -> Batch:
        """``mixture`` [items, time], ``sources`` [items, speakers, time], ``enrolment`` [items, queries, time],
        ``asked`` [items, queries] with the index of the source that is wanted, -1 for silence."""
        corpus, (length, enrol_length) = self.stock.corpus, self.stock.lengths
        sources = with_rms(self._sources(picks, length), picks.rms)
        mixture = self._noisy(sources.sum(axis=1), picks.noise, picks.noise_at, picks.snr_db)
        gain = _PEAK / np.maximum(np.abs(mixture).max(axis=-1), _PEAK)
        begin = corpus.starts[picks.enrol_utterance] + picks.enrol_offset
        enrolment = windows(corpus.samples, begin, enrol_length)
        enrolment = self._noisy(enrolment, picks.enrol_noise, picks.enrol_noise_at, picks.enrol_snr_db)
        return {
            "mixture": _tensor(mixture * gain[:, None]),
            "sources": _tensor(sources * gain[:, None, None]),
            "enrolment": _tensor(enrolment),
            "asked": torch.from_numpy(picks.asked.astype(np.int64)),
        }

    def _sources(self, picks: Picks, length: int) -> np.ndarray:
        corpus, rooms = self.stock.corpus, self.stock.rooms
        begin = corpus.starts[picks.utterance] + picks.offset
        if rooms is None:
            return windows(corpus.samples, begin, length)
        taps = rooms.shape[1]
        dry = windows(corpus.samples, begin - taps, length + taps)
        return reverberant(dry, rooms[(picks.room * len(rooms)).astype(np.int64)])[..., taps:]

    def _noisy(self, clean: np.ndarray, which: np.ndarray, place: np.ndarray, snr_db: np.ndarray) -> np.ndarray:
        if self.stock.noise is None or not np.isfinite(snr_db).any():
            return clean
        noise_rms = np.where(np.isfinite(snr_db), rms(clean) * 10.0 ** (-snr_db / 20.0), 0.0)
        noise = self.stock.noise.take(which, place, clean.shape[-1])
        return clean + (noise * noise_rms[..., None]).astype(np.float32)


@dataclass(frozen=True)
class MixtureSource:
    """Endless training mixtures: an item depends on the seed, its index and the progress alone."""

    picker: Picker
    mixer: Mixer

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """The mixtures at ``indices``."""
        return self.mixer.render(self.picker.draw(indices, progress=progress))


def reverberant(dry: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """``dry`` [..., time] through ``responses`` [..., taps], as long as ``dry``."""
    size = next_fast_len(dry.shape[-1] + responses.shape[-1] - 1, real=True)
    spectrum = rfft(dry.astype(np.float64), size) * rfft(responses.astype(np.float64), size)
    return irfft(spectrum, size)[..., : dry.shape[-1]].astype(np.float32)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
