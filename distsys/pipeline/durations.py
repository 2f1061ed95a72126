"""How long the phases of an experiment took, by what its runs noted of their begin and end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distsys.errors import DamagedFile
from distsys.pipeline.experiment import Experiment
from distsys.tracking.spool import read_start_ms, read_status

PHASES = {"search": "trials", "handoff": "handoff", "final": "final"}
"""By name: the folder of its runs."""


@dataclass(frozen=True)
class Rates:
    """What an hour of all machines together costs, in any currency, and the power that they draw, where it is known."""

    cost_per_hour: float | None = None
    watts: float | None = None

    def spent(self, hours: float) -> dict[str, float]:
        """``cost``, in the currency of the rate, and ``energy`` in kWh, of those whose rate is given."""
        found = {}
        if self.cost_per_hour is not None:
            found["cost"] = hours * self.cost_per_hour
        if self.watts is not None:
            found["energy"] = hours * self.watts / 1000
        return found


def phase_table(experiment: Experiment, rates: Rates) -> tuple[list[str], list[list[object]]]:
    """Of each phase its number of runs, time from its first run's begin to its last one's end, and what that took.

    A run that was interrupted counts from its first begin.

    Returns:
        headers and rows, the last one of all phases together.
    """
    headers = ["phase", "runs", "hours:minutes:seconds", "CPU hours, about"]
    headers += [{"energy": "kWh"}.get(name, name) for name in rates.spent(0.0)]
    found = _phases(experiment)
    if len(found) > 1:
        found.append(("whole", *(sum(values) for values in list(zip(*found, strict=True))[1:])))
    rows: list[list[object]] = [
        [name, runs, clock(passed_s), round(busy_s / 3600, 3), *rates.spent(passed_s / 3600).values()]
        for name, runs, passed_s, busy_s in found
    ]
    return headers, rows


def _phases(experiment: Experiment) -> list[tuple[str, int, float, float]]:
    """Name, number of runs, seconds that passed, and CPU seconds."""
    rows = []
    for phase, name in PHASES.items():
        home = experiment.home if phase == "final" else experiment.folder
        spans = [span for folder in sorted((home / name).glob("*")) if (span := _span_ms(folder))]
        if spans:
            passed = max(end for _, end in spans) - min(begin for begin, _ in spans)
            busy = sum(end - begin for begin, end in spans) * experiment.config.cpu_threads
            rows.append((phase, len(spans), passed / 1e3, busy / 1e3))
    return rows


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _span_ms(folder: Path) -> tuple[int, int] | None:
    with suppress(DamagedFile):
        return read_start_ms(folder), read_status(folder).time_ms
    return None
