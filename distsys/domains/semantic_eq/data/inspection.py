"""What settings are like: the range of each parameter, how loud curves are, and who wrote which word."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from distsys.domains.protocol import Inspection
from distsys.domains.semantic_eq.config import Config
from distsys.domains.semantic_eq.data.bundle import usable_terms
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.safe_file import Table, read_safe
from distsys.domains.semantic_eq.data.settings import Parameter, Ranges, ranges_of
from distsys.domains.semantic_eq.data.split import split_by_submitter
from distsys.domains.semantic_eq.data.synthetic import make_table
from distsys.errors import DataError

_MOST_WORDS, _FEWEST_PEOPLE = 12, 3
"""Free text of one or two people may be a name, or worse."""


def inspect(config: Config, *, seed: int) -> Inspection:
    """Tables of parameters, curves and words, and why the settings cannot be split, if so."""
    data, ranges = config.data, ranges_of(config.data)
    table = make_table(data.num_synthetic, ranges, seed=seed) if data.path is None else read_safe(data.path, data)
    faults, usable = [], []
    try:
        sides = split_by_submitter(table, data, seed=seed)
        usable = usable_terms([table.term[row] for row in sides[0]], data)
    except DataError as error:
        faults.append(str(error))
    tables = {
        "parameters": (
            ["parameter", "unit", "least", "median", "most", "bounds", "at a bound"],
            [_parameter_row(item, column) for item, column in zip(ranges.parameters, table.physical.T, strict=True)],
        ),
        "curves, dB": (["", "5 %", "median", "95 %"], _curve_rows(table, ranges)),
        f"words (with a place in the latent: {', '.join(usable) or 'none'})": (
            ["word", "settings", "people"],
            _word_rows(table),
        ),
    }
    return Inspection(tables, faults)


def _parameter_row(item: Parameter, column: np.ndarray) -> list[object]:
    least, middle, most = (f"{value:.5g}" for value in (column.min(), np.median(column), column.max()))
    at_bound = float(np.mean(np.isclose(column, item.low) | np.isclose(column, item.high)))
    return [item.name, item.unit, least, middle, most, f"{item.low:g} to {item.high:g}", f"{at_bound:.0%}"]


def _curve_rows(table: Table, ranges: Ranges) -> list[list[object]]:
    curves = response_db(ranges.encode(torch.from_numpy(table.physical)), ranges).numpy()
    found = {"highest gain": curves.max(axis=1), "lowest gain": curves.min(axis=1), "RMS": np.sqrt((curves**2).mean(1))}
    return [
        [name, *(f"{value + 0.0:.1f}" for value in np.quantile(values, [0.05, 0.5, 0.95]).round(1))]
        for name, values in found.items()
    ]


def _word_rows(table: Table) -> list[list[object]]:
    settings = Counter(table.term)
    people = Counter(term for _, term in set(zip(table.submitter, table.term, strict=True)))
    shown = Counter({term: count for term, count in settings.items() if people[term] >= _FEWEST_PEOPLE})
    common = shown.most_common(_MOST_WORDS)
    rows: list[list[object]] = [[term, count, people[term]] for term, count in common]
    if others := len(settings) - len(common):
        rows.append([f"{others} others", len(table.term) - sum(count for _, count in common), ""])
    return rows
