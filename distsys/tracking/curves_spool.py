"""Curves of a run's folder: every metric of its spool, as it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distsys.health.curves.history import Meaning, Series, series_of
from distsys.tracking.spool import read_metrics


def read_spool(folder: Path, meaning_of: Callable[[str], Meaning]) -> tuple[Series, ...]:
    """A series a metric of the run in ``folder``.

    Raises:
        RunFailed: a line is damaged.
    """
    points: dict[str, tuple[list[float], list[float]]] = {}
    for line in read_metrics(folder):
        for name, value in line.metrics.items():
            steps, values = points.setdefault(name, ([], []))
            steps.append(line.step)
            values.append(value)
    return tuple(series_of(name, steps, values, meaning_of(name)) for name, (steps, values) in points.items())
