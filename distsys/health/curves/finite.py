"""Curves that end in NaN or infinity, and losses that have one among their numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distsys.health.causes import NOT_FINITE
from distsys.health.curves.history import History, Series
from distsys.health.verdict import Status, Verdict

_PATTERN = 0.2
"""Share of a curve beyond which missing numbers are how it was written: a metric that is not measured at each row."""


def not_finite(history: History) -> Iterator[Verdict]:
    """A curve that had numbers and has none from some step to the end; a loss without one, or with a hole.

    Healthy are a metric that is measured now and then, and one that was never measured.
    """
    for series in history.of_kind("loss", "term", "metric"):
        bad = ~np.isfinite(series.values)
        if not bad.any():
            continue
        onset = _end_of_numbers(bad)
        if onset is not None and (onset > 0 or series.meaning.kind == "loss"):
            yield _ended(history, series, onset)
        elif series.meaning.kind == "loss" and 0 < bad.mean() < _PATTERN and not _is_regular(bad):
            first = int(np.flatnonzero(bad)[0])
            evidence = f"{series.name} is {series.values[first]:g} at {int(bad.sum())} of its {len(series)} points"
            yield NOT_FINITE.verdict("warn", evidence, step=series.step(first))


def _end_of_numbers(bad: np.ndarray) -> int | None:
    """Index after which no number comes, where that lasts longer than any hole before it."""
    numbers = np.flatnonzero(~bad)
    if not len(numbers):
        return 0
    tail = len(bad) - 1 - int(numbers[-1])
    longest = int(np.diff(numbers, prepend=-1).max()) - 1
    return int(numbers[-1]) + 1 if tail > longest else None


def _ended(history: History, series: Series, onset: int) -> Verdict:
    chooses = history.selection is not None and series.name == history.selection.name
    status: Status = "stop" if series.meaning.kind == "loss" or chooses else "warn"
    until = f", after {series.values[onset - 1]:.4g} at step {series.step(onset - 1)}" if onset else ""
    evidence = f"{series.name} is {series.values[onset]:g} from step {series.step(onset)} to the end{until}"
    return NOT_FINITE.verdict(status, evidence, step=series.step(onset))


def _is_regular(bad: np.ndarray) -> bool:
    """Whether holes come at one distance from each other."""
    gaps = np.diff(np.flatnonzero(bad))
    return len(gaps) >= 2 and bool((gaps == gaps[0]).all())
