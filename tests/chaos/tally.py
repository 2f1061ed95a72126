"""What an experiment holds after a fault, against an unharmed twin, and the counts of what is wrong."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distsys.tracking.mlflow_runs import FOLDER_TAG
from distsys.tracking.spool import METRICS_FILE, read_metrics, read_status
from distsys.training import checkpoint
from distsys.training.clock import is_timing

_FINISHED = ("finished", "pruned")


@dataclass
class Found:
    """What an experiment in a folder holds, without what depends on the clock."""

    runs: dict[str, dict[str, Any]]
    results: dict[str, Any]
    problems: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """Counts of one fault."""

    name: str
    times: int = 0
    hit: int = 0
    lost: int = 0
    repeated: int = 0
    unequal: int = 0
    left: int = 0
    slowest_s: float = 0.0
    told: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.repeated or self.unequal or self.left or self.told)

    def row(self) -> str:
        counts = f"{self.times:>5} {self.hit:>4} {self.lost:>5} {self.repeated:>8} {self.unequal:>8} {self.left:>5}"
        return f"{self.name:<40} {counts} {self.slowest_s:>7.1f}"


HEADER = f"{'fault':<40} times  hit  lost repeated  unequal  left  slowest s"


def compare(tally: Tally, name: str, found: Found, twin: Found) -> None:
    """Trials by number, the other runs by phase; what is there under the same parameters must be equal to the bit.

    A trial that had not been asked for when its driver died is drawn anew, from the same space.
    """
    here, there = (Counter(_place(key) for key in item.runs) for item in (found, twin))
    lost, more = there - here, here - there
    unequal = [key for key in twin.runs.keys() & found.runs.keys() if twin.runs[key] != found.runs[key]]
    if twin.runs.keys() == found.runs.keys():
        unequal += [key for key, value in twin.results.items() if found.results[key] != value]
    else:
        unequal = [key for key in unequal if key != "."]
    tally.lost += lost.total()
    tally.repeated += more.total()
    tally.unequal += len(unequal) + len(found.problems)
    told = [f"lost {dict(lost)}"] if lost else []
    told += [f"more {dict(more)}"] if more else []
    tally.told += [f"{name}: {text}" for text in (*told, *unequal, *found.problems)]


def _place(run: str) -> str:
    phase, _, name = run.partition("/")
    return f"{phase}/{name[:4]}" if phase == "trials" else phase


def found_in(out: Path, *, store: Path | None = None) -> Found:
    """Runs and results below ``out``, and what contradicts itself there: L1 to L6.

    Args:
        store: database of the tracking store, where it is not the one in ``out``.
    """
    (experiment,) = (path.parent for path in out.glob("*/status.json"))
    found = Found({}, {})
    for path in sorted(experiment.rglob("run.json")):
        folder = path.parent
        record = json.loads(path.read_text())
        status = read_status(folder)
        found.runs[str(folder.relative_to(experiment))] = {
            "params": record["params"],
            "status": status.status,
            "causes": [verdict.cause for verdict in status.verdicts],
            "metrics": [
                (line.step, {name: value for name, value in line.metrics.items() if not is_timing(name)})
                for line in read_metrics(folder)
            ],
        }
        if status.status not in _FINISHED:
            found.problems.append(f"{folder.name} is {status.status}")
        for step in folder.glob("checkpoints/step-*"):
            with suppress(Exception):
                checkpoint.load(step)
                continue
            found.problems.append(f"{step} does not load")
    for name in ("evaluation.json", "handoff.json"):
        if (path := experiment / name).exists():
            content = json.loads(path.read_text())
            found.results[name] = {key: content[key] for key in ("metrics", "winner", "spearman") if key in content}
    found.problems += _untracked(store or out / "mlflow.db", experiment, len(found.runs))
    found.problems += [
        f"left behind: {path}" for path in sorted(out.rglob(".*.partial*")) + sorted(out.rglob(".*.aside"))
    ]
    return found


def _untracked(store: Path, experiment: Path, num_runs: int) -> list[str]:
    """L5: what the store has of this experiment other than the folders."""
    points = sum(len(line.metrics) for path in experiment.rglob(METRICS_FILE) for line in read_metrics(path.parent))
    ours = "run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND (value = ? OR value LIKE ?))"
    key = (FOLDER_TAG, str(experiment.resolve()), f"{experiment.resolve()}/%")
    with closing(sqlite3.connect(store)) as connection:
        (runs,) = connection.execute(f"SELECT count(*) FROM runs WHERE {ours}", key).fetchone()
        (told,) = connection.execute(f"SELECT count(*) FROM metrics WHERE {ours}", key).fetchone()
        (going,) = connection.execute(f"SELECT count(*) FROM runs WHERE status = 'RUNNING' AND {ours}", key).fetchone()
    problems = [] if told == points else [f"{told} points in the store, {points} in the folders"]
    problems += [] if runs == num_runs else [f"{runs} runs in the store, {num_runs} folders"]
    return [*problems, *([f"{going} runs go on in the store"] if going else [])]
