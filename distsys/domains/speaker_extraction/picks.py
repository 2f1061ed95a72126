"""What a mixture is made of, drawn as a pure function of (seed, index, progress) before any sample is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from distsys.domains.draws import uniforms
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.corpus import Corpus, Crops, crop_grid

NUM_QUERIES = 2
"""Each mixture is asked for two speakers, so that the work of its first layers is shared."""
ABSENT = -1
_FROZEN_ABSENT = (1, 3)
"""Of five mixtures in a frozen set, those whose second query is for an absent speaker: one query in five."""
_MIN_LEVEL_DB, _MAX_LEVEL_DB = -32.0, -18.0
"""RMS of the first speaker, dB of full scale."""


@dataclass(frozen=True)
class Picks:
    """Mixtures, one a row.

    Args:
        utterance, offset: [items, speakers] of the mixed crops; unused speakers have a gain of 0.
        level: [items, speakers] RMS of each speaker.
        room: [items, speakers] room response.
        asked: [items, queries] the speaker of each query, ``ABSENT`` for one who is not there.
        enrol_utterance, enrol_offset: [items, queries].
        noise, noise_at: [items] which noise, and where in it, 0 to 1.
        snr_db: [items] speech sum against noise, infinite without noise.
        enrol_noise, enrol_noise_at, enrol_snr_db: [items, queries], the same for enrolments.
    """

    utterance: np.ndarray
    offset: np.ndarray
    level: np.ndarray
    room: np.ndarray
    asked: np.ndarray
    enrol_utterance: np.ndarray
    enrol_offset: np.ndarray
    noise: np.ndarray
    noise_at: np.ndarray
    snr_db: np.ndarray
    enrol_noise: np.ndarray
    enrol_noise_at: np.ndarray
    enrol_snr_db: np.ndarray

    def rows(self, corpus: Corpus) -> Iterator[dict[str, object]]:
        """The manifest: who speaks and in which of their recordings, who is asked for, the level of the first speaker
        against the second in dB, and every number above, as plain values; null for no noise."""
        owner = np.repeat(np.arange(corpus.num_speakers), corpus.count)
        within = np.arange(len(owner)) - corpus.first[owner]
        columns: dict[str, np.ndarray] = {item.name: getattr(self, item.name) for item in fields(self)}
        finite = {name: values.astype(object) for name, values in columns.items()}
        for name, values in columns.items():
            finite[name][np.isinf(values)] = None
        for number in range(len(self.utterance)):
            plain = {
                name: values[number].tolist() if values.ndim > 1 else values[number] for name, values in finite.items()
            }
            speaking = [corpus.names[owner[item]] for item in self.utterance[number]]
            wanted = [corpus.names[owner[item]] for item in self.enrol_utterance[number]]
            recordings = {
                "spoken_in": within[self.utterance[number]].tolist(),
                "enrolled_in": within[self.enrol_utterance[number]].tolist(),
                "sir_db": round(float(20.0 * np.log10(self.level[number, 0] / self.level[number, 1])), 3),
            }
            yield {"speakers": speaking, "wanted": wanted, **recordings, **plain}


class Picker:
    """Draws mixtures of a corpus.

    Args:
        num_persons: speakers of the corpus before changes of speed; those of one person are this far apart.
        lengths: samples of mixtures and of enrolments.
        frozen: whether every progress is the last one and absent queries are dealt evenly.
    """

    def __init__(
        self,
        config: DataConfig,
        corpus: Corpus,
        *,
        num_persons: int,
        lengths: tuple[int, int],
        seed: int,
        frozen: bool = False,
    ) -> None:
        grid = crop_grid(config.sample_rate_hz)
        self._config, self._corpus, self._num_persons = config, corpus, num_persons
        self._seed, self._frozen = seed, frozen
        self._mixture_crops, self._enrolment_crops = (corpus.crops(length, grid=grid) for length in lengths)
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
            offset=self._crop(self._mixture_crops, utterance, lanes),
            level=self._levels(lanes),
            room=lanes.take(self._num_speakers),
            asked=np.where(absent, ABSENT, asked),
            enrol_utterance=enrol_utterance,
            enrol_offset=self._crop(self._enrolment_crops, enrol_utterance, lanes),
            noise=lanes.take(1)[:, 0],
            noise_at=lanes.take(1)[:, 0],
            snr_db=self._snr_db(config.noise_share, lanes, 1)[:, 0],
            enrol_noise=lanes.take(NUM_QUERIES),
            enrol_noise_at=lanes.take(NUM_QUERIES),
            enrol_snr_db=self._snr_db(ramp, lanes, NUM_QUERIES),
        )

    def _speakers(self, lanes: _Lanes) -> np.ndarray:
        """[items, speakers + 1]: different persons, each at a speed of its own."""
        number = self._num_speakers + 1
        persons = _distinct(self._num_persons, lanes.take(number))
        speeds = self._corpus.num_speakers // self._num_persons
        return np.asarray(persons + self._num_persons * _below(np.full(persons.shape, speeds), lanes.take(number)))

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

    def _levels(self, lanes: _Lanes) -> np.ndarray:
        config, others = self._config, self._config.max_interferers
        span = config.max_interferers - config.min_interferers + 1
        used = config.min_interferers + _below(np.full((lanes.num_items, 1), span), lanes.take(1))
        base_db = _MIN_LEVEL_DB + (_MAX_LEVEL_DB - _MIN_LEVEL_DB) * lanes.take(1)
        sir_db = config.min_sir_db + (config.max_sir_db - config.min_sir_db) * lanes.take(others)
        level = 10.0 ** (np.concatenate((base_db, base_db - sir_db), axis=1) / 20.0)
        return np.where(np.arange(1 + others) <= used, level, 0.0)

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
    return np.asarray(np.minimum((uniform * count).astype(np.int64), count - 1))


def _distinct(count: int, uniform: np.ndarray) -> np.ndarray:
    """Rows of different whole numbers below ``count``, one for each column of ``uniform``."""
    chosen = np.empty(uniform.shape, dtype=np.int64)
    for column in range(uniform.shape[1]):
        value = (uniform[:, column] * (count - column)).astype(np.int64)
        for earlier in np.sort(chosen[:, :column], axis=1).T:
            value += value >= earlier
        chosen[:, column] = value
    return chosen
