"""Draws what mixtures are made of as a pure function of (seed, index, progress), before any sample is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distsys.domains.draws import uniforms
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.corpus import Crops
from distsys.domains.speaker_extraction.data.picks import Picks
from distsys.domains.speaker_extraction.data.queries import ABSENT, NUM_QUERIES
from distsys.domains.speaker_extraction.data.stock import Stock

_FROZEN_ABSENT = (1, 3)
"""Of five mixtures in a frozen set, those whose second query is for an absent speaker: one query in five."""
_MIN_RMS_DB, _MAX_RMS_DB = -32.0, -18.0
"""Of the first speaker, dB of full scale."""


class Picker:
    """Draws mixtures of a stock.

    Args:
        frozen: whether every progress is the last one and absent queries are dealt evenly.
        noisy: whether every mixture has noise, whatever the config's share is.
    """

    def __init__(
        self, config: DataConfig, stock: Stock, *, seed: int, frozen: bool = False, noisy: bool = False
    ) -> None:
        self._config, self._stock, self._corpus = config, stock, stock.corpus
        self._seed, self._frozen, self._noisy = seed, frozen, noisy
        self._num_speakers = 1 + config.max_interferers

    def draw(self, indices: Sequence[int], *, progress: float) -> Picks:
        """The mixtures at ``indices``."""
        config, lanes = self._config, _Lanes(indices, seed=self._seed)
        speakers = self._speakers(lanes)  # the last one is absent
        present = speakers[:, :-1]
        utterance, other = self._two_utterances(present, lanes)
        asked = self._asked(np.asarray(indices), lanes.take(1)[:, 0], progress)
        wanted = np.take_along_axis(speakers, asked, axis=1)
        same = np.take_along_axis(np.concatenate((other, other[:, :1]), axis=1), asked, axis=1)
        absent = asked == self._num_speakers
        free = self._corpus.first[wanted] + _below(self._corpus.count[wanted], lanes.take(NUM_QUERIES))
        enrol_utterance = np.where(absent, free, same)
        ramp = config.enrolment_noise_share * (1.0 if self._frozen else progress)
        return Picks(
            utterance=utterance,
            offset=self._crop(self._stock.mixture_crops, utterance, lanes),
            rms=self._rms(lanes),
            room=lanes.take(self._num_speakers),
            asked=np.where(absent, ABSENT, asked),
            enrol_utterance=enrol_utterance,
            enrol_offset=self._crop(self._stock.enrolment_crops, enrol_utterance, lanes),
            noise=lanes.take(1)[:, 0],
            noise_at=lanes.take(1)[:, 0],
            snr_db=self._snr_db(1.0 if self._noisy else config.noise_share, lanes, 1)[:, 0],
            enrol_noise=lanes.take(NUM_QUERIES),
            enrol_noise_at=lanes.take(NUM_QUERIES),
            enrol_snr_db=self._snr_db(ramp, lanes, NUM_QUERIES),
        )

    def _speakers(self, lanes: _Lanes) -> np.ndarray:
        """[items, speakers + 1]: different persons, each at a speed of its own."""
        number = self._num_speakers + 1
        persons = _distinct(self._stock.num_persons, lanes.take(number))
        speeds = self._corpus.num_speakers // self._stock.num_persons
        return persons + self._stock.num_persons * _below(np.full(persons.shape, speeds), lanes.take(number))

    def _two_utterances(self, speakers: np.ndarray, lanes: _Lanes) -> tuple[np.ndarray, np.ndarray]:
        """Two different utterances of each of ``speakers``."""
        first, count = self._corpus.first[speakers], self._corpus.count[speakers]
        one = _below(count, lanes.take(speakers.shape[1]))
        other = _below(count - 1, lanes.take(speakers.shape[1]))
        return first + one, first + other + (other >= one)

    def _asked(self, indices: np.ndarray, uniform: np.ndarray, progress: float) -> np.ndarray:
        """[items, queries]: the first two speakers, or an absent one in place of the second."""
        if self._frozen:
            absent = np.isin(indices % 5, _FROZEN_ABSENT)
        else:
            share = self._config.ta_share if progress >= self._config.ta_from else 0.0
            absent = uniform < NUM_QUERIES * share
        second = np.where(absent, self._num_speakers, 1)
        return np.stack((np.zeros_like(second), second), axis=1)

    def _rms(self, lanes: _Lanes) -> np.ndarray:
        """[items, speakers]: 0 for speakers that a mixture does not have."""
        config, others = self._config, self._config.max_interferers
        span = config.max_interferers - config.min_interferers + 1
        used = config.min_interferers + _below(np.full((lanes.num_items, 1), span), lanes.take(1))
        first_db = _MIN_RMS_DB + (_MAX_RMS_DB - _MIN_RMS_DB) * lanes.take(1)
        sir_db = config.min_sir_db + (config.max_sir_db - config.min_sir_db) * lanes.take(others)
        rms = 10.0 ** (np.concatenate((first_db, first_db - sir_db), axis=1) / 20.0)
        return np.where(np.arange(1 + others) <= used, rms, 0.0)

    def _snr_db(self, share: float, lanes: _Lanes, number: int) -> np.ndarray:
        config, on = self._config, lanes.take(number) < share
        return np.where(on, config.min_snr_db + (config.max_snr_db - config.min_snr_db) * lanes.take(number), np.inf)

    def _crop(self, crops: Crops, utterance: np.ndarray, lanes: _Lanes) -> np.ndarray:
        return crops.pick(utterance, lanes.take(utterance.shape[1]))


class _Lanes:
    """Uniform numbers handed out column by column, so that the order of the draws below is their only address."""

    _MOST = 64

    def __init__(self, indices: Sequence[int], *, seed: int) -> None:
        self._columns = uniforms(indices, seed=seed, num_lanes=self._MOST)
        self._next = 0
        self.num_items = len(indices)

    def take(self, number: int) -> np.ndarray:
        """[items, number] not taken before."""
        assert self._next + number <= self._MOST
        self._next += number
        return self._columns[:, self._next - number : self._next]


def _below(count: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 to ``count - 1``."""
    return np.minimum((uniform * count).astype(np.int64), count - 1)


def _distinct(count: int, uniform: np.ndarray) -> np.ndarray:
    """Rows of different whole numbers below ``count``, one for each column of ``uniform``."""
    chosen = np.empty(uniform.shape, dtype=np.int64)
    for column in range(uniform.shape[1]):
        value = (uniform[:, column] * (count - column)).astype(np.int64)
        for earlier in np.sort(chosen[:, :column], axis=1).T:
            value += value >= earlier
        chosen[:, column] = value
    return chosen
