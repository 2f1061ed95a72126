"""Accelerations as plain text: a column of values, or one of times and one of values, below whatever header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from distsys.domains.ground_motion.data.at2 import unit_of
from distsys.domains.ground_motion.data.records import G_IN, Declared, Record, in_range
from distsys.domains.ground_motion.data.text import text_of
from distsys.errors import DataError

_STEP = re.compile(r"\b(?:dt|delta|step|sampling_interval)(?:_s)?\b\W{0,4}(\d*\.?\d+(?:e[+-]?\d+)?)", re.IGNORECASE)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"
_ROW = re.compile(rf"^\s*{_NUMBER}(?:[\s,;]+{_NUMBER})?[\s,;]*$")
_LEAST_ROWS = 3
_EVEN = 0.01
"""Of a step, by which times may be rounded."""


def is_columns(head: str) -> bool:
    """By rows of one or two numbers, below a header of any words."""
    rows = [line for line in head.split("\n")[:-1] if line.strip()]
    numeric = [_ROW.match(line) is not None for line in rows]
    return sum(numeric) >= _LEAST_ROWS and all(numeric[numeric.index(True) :])


def read_columns(path: Path, declared: Declared) -> Iterator[Record]:
    """The record; what its header says of unit and step (``dt = 0.005``, ``cm/s2``) counts before what is declared.

    Raises:
        DataError: a row is no number, the times are not even, or no step is known; the line is named.
    """
    lines = text_of(path).split("\n")
    first = next((place for place, line in enumerate(lines) if _ROW.match(line)), len(lines))
    header, rows = lines[:first], _rows(path, lines, first)
    unit = next((unit for line in header if (unit := unit_of(line))), declared.unit)
    stated = next((found for line in header if (found := _STEP.search(line))), None)
    if rows.shape[1] == 2:
        dt_s = _even_step(path, rows[:, 0], first)
    elif stated:
        dt_s = float(stated[1])
    elif declared.dt_s:
        dt_s = declared.dt_s
    else:
        raise DataError(
            f"{path}: one column, and no word of its step",
            expected="a column of times in s, or 'dt = 0.005' above the values",
            fix="say data.dt_s (or --dt-s), or dt_s in a metadata.csv beside the file",
        )
    dt_s = in_range("dt_s", dt_s, where=str(path))
    yield Record(rows[:, -1] / G_IN[unit], dt_s, str(path), path.stem, str(path))


def _rows(path: Path, lines: Sequence[str], first: int) -> np.ndarray:
    """[rows, 1 or 2] numbers."""
    found: list[list[float]] = []
    for number, line in enumerate(lines[first:], start=first + 1):
        if not line.strip():
            continue
        if _ROW.match(line) is None:
            raise DataError(f"{path}, line {number}: '{line.strip()[:40]}'", expected="one or two numbers")
        found.append([float(item.replace("D", "e").replace("d", "e")) for item in re.split(r"[\s,;]+", line) if item])
        if len(found[-1]) != len(found[0]):
            raise DataError(f"{path}, line {number}: {len(found[-1])} numbers", expected=f"{len(found[0])}, as above")
    if not found:
        raise DataError(f"{path}: no rows of numbers", expected="accelerations, or times and accelerations")
    return np.array(found)


def _even_step(path: Path, time_s: np.ndarray, first: int) -> float:
    step_s = float(time_s[-1] - time_s[0]) / max(1, len(time_s) - 1)
    expected = time_s[0] + step_s * np.arange(len(time_s))
    wrong = np.flatnonzero(np.abs(time_s - expected) > _EVEN * abs(step_s))
    # a time of three digits rounds a step of 0.0024 s by more than that
    digits = 0.51 * 10.0 ** -_decimals(time_s)
    wrong = wrong[np.abs(time_s - expected)[wrong] > digits] if len(wrong) else wrong
    if len(wrong) or step_s <= 0.0:
        steps = np.diff(time_s)
        jumps = np.flatnonzero(np.abs(steps - np.median(steps)) > _EVEN * abs(float(np.median(steps))))
        line = first + 1 + int(jumps[0] + 1 if len(jumps) else 0)
        raise DataError(
            f"{path}, line {line}: time {time_s[line - first - 1]:g} s", expected="times in s that grow by equal steps"
        )
    return step_s


def _decimals(time_s: np.ndarray) -> int:
    """Digits after the point with which times are written, at most 6."""
    return next((count for count in range(1, 6) if np.allclose(time_s, np.round(time_s, count), rtol=0, atol=1e-9)), 6)
