"""From a table of settings to training items and frozen sets, split by the person who made them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import Batch, DataBundle, EvalSet
from distsys.domains.semantic_eq.baselines import baseline_rows
from distsys.domains.semantic_eq.config import Config, DataConfig
from distsys.domains.semantic_eq.response import band_responses_db
from distsys.domains.semantic_eq.safe_file import Table, read_safe
from distsys.domains.semantic_eq.settings import BANDS, PARAMETERS, encode_setting, sort_bells
from distsys.domains.semantic_eq.synthetic import make_table
from distsys.errors import DataError

NO_LABEL = -1
_BAND_COLUMNS = ((0, 1), (2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12))


@dataclass(frozen=True)
class Rows:
    """Settings with their responses.

    Args:
        u: [rows, 13] in u, bells sorted.
        band_db: [rows, 5, 256], the response of each band.
        label: [rows] index of the word, or -1.
    """

    u: Tensor
    band_db: Tensor
    label: Tensor

    def batch(self) -> Batch:
        """All rows as one batch."""
        return {"u": self.u, "curve_db": self.band_db.sum(dim=1), "label": self.label}


class RecombiningSource:
    """Training items: a row as it is, or one whose five bands come from five rows, by a hash of the index."""

    def __init__(self, rows: Rows, *, seed: int, recombined_share: float) -> None:
        self._rows, self._seed, self._share = rows, seed, recombined_share

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """Items at ``indices``; ``progress`` changes nothing here."""
        draws = _hashes(np.asarray(indices, dtype=np.uint64), self._seed)
        chosen = torch.from_numpy((draws[:, 1:] % len(self._rows.u)).astype(np.int64))
        recombined = torch.from_numpy(draws[:, 0] < self._share * 2.0**32)
        chosen = torch.where(recombined[:, None], chosen, chosen[:, :1])
        u = torch.cat(
            [self._rows.u[chosen[:, band], group[0] : group[-1] + 1] for band, group in enumerate(_BAND_COLUMNS)], 1
        )
        curve = self._rows.band_db[chosen, torch.arange(len(BANDS))].sum(dim=1)
        label = torch.where(recombined, NO_LABEL, self._rows.label[chosen[:, 0]])
        return {"u": sort_bells(u), "curve_db": curve, "label": label}


def _hashes(index: np.ndarray, seed: int) -> np.ndarray:
    """[items, 6] numbers below 2^32, uniform and a pure function of (seed, index): splitmix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        lane = np.arange(1, 7, dtype=np.uint64)
        state = (index[:, None] * np.uint64(6) + lane + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((state ^ (state >> np.uint64(31))) >> np.uint64(32))


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Training items and frozen sets for ``config``.

    Raises:
        DataError: the file is wrong, or too small to split.
    """
    data = config.data
    table = make_table(data.num_synthetic, seed=seed) if data.path is None else read_safe(data.path, sha256=data.sha256)
    train, validation, test = split_by_submitter(table, data, seed=seed)
    terms = _usable_terms([table.term[row] for row in train], data)
    rows = [_rows(table, part, terms) for part in (train, validation, test)]
    reference = _labelled(rows[0])
    sets = [EvalSet([part.batch()], _digest(part), reference, _baselines(rows[0], part, config)) for part in rows[1:]]
    return DataBundle(
        train=RecombiningSource(rows[0], seed=seed, recombined_share=data.recombined_share),
        validation=sets[0],
        test=sets[1],
        ranges={item.name: (item.low, item.high, item.unit) for item in PARAMETERS},
        provenance={
            **table.provenance,
            "train_rows": len(train),
            "validation_rows": len(validation),
            "test_rows": len(test),
            "terms": ", ".join(terms),
        },
        statistics={"terms": terms, "term_u": reference["u"], "term_label": reference["label"]},
    )


def split_by_submitter(table: Table, data: DataConfig, *, seed: int) -> tuple[list[int], list[int], list[int]]:
    """Row numbers of training, validation and test; no person stands in two, nor does any exact duplicate.

    Test holds the people with the fewest settings, so that it holds the most people; validation the next.

    Raises:
        DataError: there are too few people.
    """
    counts = Counter(table.submitter)
    names = sorted(counts)
    order = np.random.default_rng([seed, 0x5B11]).permutation(len(names))
    by_size = sorted((names[index] for index in order), key=lambda name: counts[name])
    test_people, rest = _take(by_size, counts, data.held_out_rows)
    validation_people, train_people = _take(rest, counts, data.held_out_rows)
    if not train_people or sum(counts[name] for name in train_people) < data.held_out_rows:
        raise DataError(
            f"{len(table.term)} settings by {len(counts)} people leave too few to train on",
            expected=f"{data.held_out_rows} rows in each of test and validation, and more people besides",
            fix="lower data.held_out_rows, or use a larger file",
        )
    test = _distinct(table, test_people, set())
    seen = {table.physical[row].tobytes() for row in test}
    validation = _distinct(table, validation_people, seen)
    seen |= {table.physical[row].tobytes() for row in validation}
    return _distinct(table, train_people, seen), validation, test


def _take(people: Sequence[str], counts: Mapping[str, int], num_rows: int) -> tuple[set[str], list[str]]:
    """The first ``people`` with ``num_rows`` rows or just more between them, and the others."""
    taken, rows = 0, 0
    while taken < len(people) and rows < num_rows:
        rows += counts[people[taken]]
        taken += 1
    return set(people[:taken]), list(people[taken:])


def _distinct(table: Table, people: Iterable[str], elsewhere: set[bytes]) -> list[int]:
    """Rows of ``people`` that are no exact duplicate of a row on another side."""
    wanted = set(people)
    rows = [row for row, name in enumerate(table.submitter) if name in wanted]
    return [row for row in rows if table.physical[row].tobytes() not in elsewhere]


def _usable_terms(terms: Sequence[str], data: DataConfig) -> list[str]:
    counts = Counter(terms)
    return sorted(
        term for term, count in counts.items() if count >= data.min_term_count and term not in data.ignored_terms
    )


def _rows(table: Table, part: Sequence[int], terms: Sequence[str]) -> Rows:
    u = sort_bells(encode_setting(torch.from_numpy(table.physical[list(part)])))
    label = torch.tensor([terms.index(table.term[row]) if table.term[row] in terms else NO_LABEL for row in part])
    return Rows(u.float(), band_responses_db(u).float(), label)


def _labelled(rows: Rows) -> Batch:
    known = rows.label >= 0
    return {name: tensor[known] for name, tensor in rows.batch().items()}


def _baselines(train: Rows, held_out: Rows, config: Config) -> Callable[[], dict[str, dict[str, float]]]:
    return lambda: baseline_rows(train.batch(), held_out.batch(), latent_size=config.model.latent_size)


def _digest(rows: Rows) -> str:
    return hashlib.sha256(rows.u.numpy().tobytes() + rows.label.numpy().tobytes()).hexdigest()[:16]
