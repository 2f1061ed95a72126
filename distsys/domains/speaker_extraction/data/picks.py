"""What mixtures are made of, in numbers; and as rows of the manifest of a frozen set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from distsys.domains.speaker_extraction.data.corpus import Corpus


@dataclass(frozen=True)
class Picks:
    """Mixtures, one a row.

    Args:
        utterance, offset: [items, speakers] of the mixed crops; unused speakers have an RMS of 0.
        rms: [items, speakers] of each speaker in the mixture.
        room: [items, speakers] room response.
        asked: [items, queries] the speaker of each query, ``ABSENT`` for one who is not there.
        enrol_utterance, enrol_offset: [items, queries].
        noise, noise_at: [items] which noise, and where in it, 0 to 1.
        snr_db: [items] speech sum against noise, infinite without noise.
        enrol_noise, enrol_noise_at, enrol_snr_db: [items, queries], the same for enrolments.
    """

    utterance: np.ndarray
    offset: np.ndarray
    rms: np.ndarray
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
        against the second in dB, and every number above, as numbers; null for no noise."""
        owner = np.repeat(np.arange(corpus.num_speakers), corpus.count)
        within = np.arange(len(owner)) - corpus.first[owner]
        columns = {item.name: _finite(getattr(self, item.name)) for item in fields(self)}
        for number in range(len(self.utterance)):
            spoken, enrolled = self.utterance[number], self.enrol_utterance[number]
            yield {
                "speakers": [corpus.names[owner[item]] for item in spoken],
                "wanted": [corpus.names[owner[item]] for item in enrolled],
                "spoken_in": within[spoken].tolist(),
                "enrolled_in": within[enrolled].tolist(),
                "sir_db": round(float(20.0 * np.log10(self.rms[number, 0] / self.rms[number, 1])), 3),
                **{name: values[number] for name, values in columns.items()},
            }


def _finite(values: np.ndarray) -> list[object]:
    """Python's own numbers, None in place of infinite ones."""
    result = values.astype(object)
    result[np.isinf(values)] = None
    return result.tolist()
