"""From a table of settings to training items and frozen sets, split by the person who made them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distsys.domains.draws import hashes
from distsys.domains.protocol import Batch, DataBundle, EvalSet
from distsys.domains.semantic_eq.baselines import baseline_rows
from distsys.domains.semantic_eq.config import Config, DataConfig
from distsys.domains.semantic_eq.response import band_responses_db
from distsys.domains.semantic_eq.safe_file import Table, read_safe
from distsys.domains.semantic_eq.settings import BANDS, PARAMETERS, encode_setting, sort_bells
from distsys.domains.semantic_eq.split import split_by_submitter
from distsys.domains.semantic_eq.synthetic import make_table

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
        draws = hashes(indices, seed=self._seed, num_lanes=6) >> np.uint64(32)
        chosen = torch.from_numpy((draws[:, 1:] % len(self._rows.u)).astype(np.int64))
        recombined = torch.from_numpy(draws[:, 0] < self._share * 2.0**32)
        chosen = torch.where(recombined[:, None], chosen, chosen[:, :1])
        u = torch.cat(
            [self._rows.u[chosen[:, band], group[0] : group[-1] + 1] for band, group in enumerate(_BAND_COLUMNS)], 1
        )
        curve = self._rows.band_db[chosen, torch.arange(len(BANDS))].sum(dim=1)
        label = torch.where(recombined, NO_LABEL, self._rows.label[chosen[:, 0]])
        return {"u": sort_bells(u), "curve_db": curve, "label": label}


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
