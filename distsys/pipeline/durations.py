"""How long the phases of an experiment took, by what its runs noted of their begin and end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from distsys.errors import DamagedFile
from distsys.pipeline.experiment import Experiment
from distsys.tracking.spool import read_start_ms, read_status

PHASES = {"search": "trials", "handoff": "handoff", "final": "final"}
"""By name: the folder of its runs."""


def phase_rows(experiment: Experiment) -> list[list[object]]:
    """Phase, number of runs, time from its first run's begin to its last one's end, and their CPU hours.

    A run that was interrupted counts from its first begin.
    """
    rows: list[list[object]] = []
    for phase, name in PHASES.items():
        home = experiment.home if phase == "final" else experiment.folder
        spans = [span for folder in sorted((home / name).glob("*")) if (span := _span_ms(folder))]
        if spans:
            passed = max(end for _, end in spans) - min(begin for begin, _ in spans)
            busy = sum(end - begin for begin, end in spans) * experiment.config.cpu_threads
            rows.append([phase, len(spans), clock(passed / 1e3), round(busy / 3.6e6, 3)])
    return rows


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _span_ms(folder: Path) -> tuple[int, int] | None:
    with suppress(DamagedFile):
        return read_start_ms(folder), read_status(folder).time_ms
    return None
