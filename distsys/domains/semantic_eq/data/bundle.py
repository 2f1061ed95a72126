"""From a table of settings to training items and frozen sets, split by the person who made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distsys.config.reuse import reused
from distsys.domains.draws import hashes
from distsys.domains.protocol import Batch, DataBundle, EvalSet
from distsys.domains.semantic_eq.config import NUM_PARAMETERS, Config, DataConfig
from distsys.domains.semantic_eq.data.response import band_responses_db
from distsys.domains.semantic_eq.data.safe_file import Table, read_safe
from distsys.domains.semantic_eq.data.settings import BANDS, Ranges, ranges_of
from distsys.domains.semantic_eq.data.split import split_by_submitter
from distsys.domains.semantic_eq.data.synthetic import make_table

NO_LABEL = -1
_BAND_COLUMNS = ((0, 1), (2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12))


@dataclass(frozen=True)
class Rows:
    """Settings with their responses.

    Args:
        u: [rows, 13] in u, bells sorted.
        band_db: [rows, 5, 256], the response of each band.
        label: [rows] index of the word, or -1.
        weight: [rows] of the setting among those of its word.
    """

    u: Tensor
    band_db: Tensor
    label: Tensor
    weight: Tensor

    def batch(self) -> Batch:
        """All rows as one batch."""
        return {"u": self.u, "curve_db": self.band_db.sum(dim=1), "label": self.label, "weight": self.weight}


class RecombiningSource:
    """Training items: a row as it is, or one whose five bands come from five rows, by a hash of the index."""

    def __init__(self, rows: Rows, ranges: Ranges, *, seed: int, recombined_share: float) -> None:
        self.rows, self._ranges, self._seed, self._share = rows, ranges, seed, recombined_share

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """Items at ``indices``; ``progress`` changes nothing here."""
        draws = hashes(indices, seed=self._seed, num_lanes=6) >> np.uint64(32)
        chosen = torch.from_numpy((draws[:, 1:] % len(self.rows.u)).astype(np.int64))
        recombined = torch.from_numpy(draws[:, 0] < self._share * 2.0**32)
        chosen = torch.where(recombined[:, None], chosen, chosen[:, :1])
        u = torch.cat(
            [self.rows.u[chosen[:, band], group[0] : group[-1] + 1] for band, group in enumerate(_BAND_COLUMNS)], 1
        )
        curve = self.rows.band_db[chosen, torch.arange(len(BANDS))].sum(dim=1)
        label = torch.where(recombined, NO_LABEL, self.rows.label[chosen[:, 0]])
        return {"u": self._ranges.sort_bells(u), "curve_db": curve, "label": label}


@dataclass(frozen=True)
class _Split:
    """Everything that training items are recombined from, and what is held out of it."""

    train: Rows
    terms: list[str]
    reference: Batch
    validation: EvalSet
    test: EvalSet
    provenance: Mapping[str, str | int | float]


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Training items and frozen sets for ``config``.

    Raises:
        DataError: the file is wrong, or too small to split.
    """
    parts, share = _split(config.data, seed=seed), config.data.recombined_share
    return DataBundle(
        train=RecombiningSource(parts.train, ranges_of(config.data), seed=seed, recombined_share=share),
        validation=parts.validation,
        test=parts.test,
        provenance=parts.provenance,
        statistics={
            "terms": parts.terms,
            "term_u": parts.reference["u"],
            "term_label": parts.reference["label"],
            "term_weight": parts.reference["weight"],
            **_main_curves(parts.train),
        },
    )


@reused
def _split(data: DataConfig, *, seed: int) -> _Split:
    ranges = ranges_of(data)
    table = make_table(data.num_synthetic, ranges, seed=seed) if data.path is None else read_safe(data.path, data)
    sides = split_by_submitter(table, data, seed=seed)
    terms = usable_terms([table.term[row] for row in sides[0]], data)
    train, validation, test = (_rows(table, ranges, side, terms) for side in sides)
    reference = _labelled(train)
    counts = dict(zip(("train_rows", "validation_rows", "test_rows"), map(len, sides), strict=True))
    return _Split(
        train,
        terms,
        reference,
        validation=EvalSet([validation.batch()], reference),
        test=EvalSet([test.batch()], reference),
        provenance={**table.provenance, **counts, "terms": ", ".join(terms)},
    )


def usable_terms(terms: Sequence[str], data: DataConfig) -> list[str]:
    """Words that occur often enough among training settings to have a place in the latent, sorted."""
    counts = Counter(terms)
    return sorted(
        term for term, count in counts.items() if count >= data.min_term_count and term not in data.ignored_terms
    )


def _rows(table: Table, ranges: Ranges, part: Sequence[int], terms: Sequence[str]) -> Rows:
    u = ranges.sort_bells(ranges.encode(torch.from_numpy(table.physical[list(part)])))
    label = torch.tensor([terms.index(table.term[row]) if table.term[row] in terms else NO_LABEL for row in part])
    return Rows(u.float(), band_responses_db(u, ranges).float(), label, _weights(table, part))


def _main_curves(rows: Rows) -> dict[str, Tensor]:
    """``curve_mean`` [points] and ``curve_axes`` [13, points], the main directions of responses, orthonormal."""
    curves = rows.band_db.sum(dim=1)
    mean = curves.mean(dim=0)
    axes = torch.linalg.svd((curves - mean).double(), full_matrices=False)[2][:NUM_PARAMETERS]
    return {"curve_mean": mean, "curve_axes": axes.float()}


def _weights(table: Table, part: Sequence[int]) -> Tensor:
    """One over the root of how many settings of the word its person has: most people wrote few, and one wrote hundreds.

    Between all alike and one vote a person; either end foretells settings of unseen people less well.
    """
    counts = Counter((table.submitter[row], table.term[row]) for row in part)
    return torch.tensor([counts[table.submitter[row], table.term[row]] ** -0.5 for row in part])


def _labelled(rows: Rows) -> Batch:
    known = rows.label >= 0
    return {name: tensor[known] for name, tensor in rows.batch().items()}
