"""kill -9 at random times: what is lost against an unharmed twin, and what stays behind."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distsys.tracking.spool import METRICS_FILE, read_metrics, read_status
from distsys.training import checkpoint
from tests.chaos.signals import command, environment, site

_SETTINGS = (
    # What is asked must not depend on which trial ends first, so that a twin is one.
    "search.trials=4", "search.startup_trials=4", "search.reduction_factor=null", "final.steps=80",
)  # fmt: skip
RUN = ("run", *(word for item in _SETTINGS for word in ("--set", item)))
TRAIN = ("train", "--workers", "2", "--set", "final.steps=200", "--set", "final.eval_every_steps=20")
_SLOW = {"SINE_SLOW": "loss_terms", "SINE_SECONDS": "0.01"}
_LONGEST_S = 180.0
_FINISHED = ("finished", "pruned")


@dataclass(frozen=True)
class Fault:
    """What is killed.

    Args:
        times: how often, in the whole table.
        victim: of the command lines of Ray's processes; empty for the command itself, ``*`` for it and all of them.
        span_s: from when the first victim is there; the kill comes at random within.
        survives: whether the same process is expected to end well.
    """

    name: str
    times: int
    arguments: tuple[str, ...]
    victim: str
    span_s: float
    survives: bool = False


FAULTS = (
    Fault("kill -9 of a trial's process", 50, RUN, r"ray::ResourceTrainable", 2.0, survives=True),
    Fault("kill -9 of the command", 50, RUN, "", 16.0),
    Fault("kill -9 of the command and all of Ray", 30, RUN, "*", 16.0),
    Fault("kill -9 of a training's worker", 20, TRAIN, r"ray::\w*TrainWorker", 5.0, survives=True),
    Fault("kill -9 of the raylet", 20, RUN, r"/raylet/raylet ", 8.0),
)


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


def tallied(fault: Fault, *, times: int, place: Path, twin: Found, seed: int = 0) -> Tally:
    """Carry out ``times`` kills in ``place``, which holds the domain and an empty folder ``ray``."""
    rng, tally = random.Random(f"{fault.name} {seed}"), Tally(fault.name, times)
    for turn in range(times):
        _one(fault, tally, out=place / f"{re.sub(r'[^a-z]', '', fault.name)}-{turn}", place=place, twin=twin, rng=rng)
    return tally


def unharmed(arguments: tuple[str, ...], *, place: Path) -> Found:
    """The twin."""
    out = place / f"twin-{arguments[0]}"
    with _started(arguments, place=place, out=out) as process:
        code = process.wait(_LONGEST_S)
    assert code == 0, (out / "said").read_text()
    return found_in(out)


def _one(fault: Fault, tally: Tally, *, out: Path, place: Path, twin: Found, rng: random.Random) -> None:
    with _started(fault.arguments, place=place, out=out) as process:
        tally.hit += _killed(fault, process, place=place, delay_s=rng.uniform(0.0, fault.span_s))
        began = time.monotonic()
        code = process.wait(_LONGEST_S)
    seconds = time.monotonic() - began
    if code != 0 and fault.survives:
        tally.told.append(f"{out.name}: it ended with {code}")
    if code != 0:
        began = time.monotonic()
        with _started(fault.arguments, place=place, out=out) as process:
            code = process.wait(_LONGEST_S)
        seconds = time.monotonic() - began
    tally.slowest_s = max(tally.slowest_s, seconds)
    said = (out / "said").read_text()
    if code != 0 or "Traceback" in said:
        tally.told.append(f"{out.name}: exit code {code}: {said[-600:]}")
        return
    _compare(tally, out.name, found_in(out), twin)
    behind = [*processes_of(place).values(), *(place / "ray").iterdir()]
    tally.left += len(behind)
    tally.told += [f"{out.name}: left behind: {item}" for item in behind]


def _compare(tally: Tally, name: str, found: Found, twin: Found) -> None:
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


def found_in(out: Path) -> Found:
    """Runs and results below ``out``, and what contradicts itself there: L1 to L6."""
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
            "metrics": [(line.step, _lasting(line.metrics)) for line in read_metrics(folder)],
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
    found.problems += _untracked(out, experiment, len(found.runs))
    return found


def _lasting(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if "time/" not in name and name != "steps_per_s"}


def _untracked(out: Path, experiment: Path, num_runs: int) -> list[str]:
    """L5: what the store has other than the folders."""
    points = sum(len(line.metrics) for path in experiment.rglob(METRICS_FILE) for line in read_metrics(path.parent))
    with closing(sqlite3.connect(out / "mlflow.db")) as connection:
        runs = connection.execute("SELECT count(*), count(DISTINCT run_uuid) FROM runs").fetchone()
        told = connection.execute("SELECT count(*) FROM metrics").fetchone()[0]
        going = connection.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0]
    problems = [] if told == points else [f"{told} points in the store, {points} in the folders"]
    problems += [] if runs == (num_runs, num_runs) else [f"{runs[0]} runs in the store, {num_runs} folders"]
    return [*problems, *([f"{going} runs go on in the store"] if going else [])]


def _started(arguments: tuple[str, ...], *, place: Path, out: Path) -> subprocess.Popen[bytes]:
    out.mkdir(exist_ok=True)
    with (out / "said").open("wb") as stream:
        return subprocess.Popen(
            command(place, out, arguments),
            stdout=subprocess.DEVNULL,
            stderr=stream,
            env=environment(place, SINE_MARK=str(out / "mark"), RAY_TMPDIR=str(place / "ray"), **_SLOW),
            start_new_session=True,
        )


def _killed(fault: Fault, process: subprocess.Popen[bytes], *, place: Path, delay_s: float) -> bool:
    """Whether there was something to kill."""
    until = time.monotonic() + _LONGEST_S
    while fault.victim not in ("", "*") and not _victims(fault, place) and process.poll() is None:
        assert time.monotonic() < until, f"{fault.name}: nothing to kill"
        time.sleep(0.1)
    with suppress(subprocess.TimeoutExpired):
        process.wait(delay_s)
    victims = _victims(fault, place)
    if process.poll() is not None or not (victims or fault.victim in ("", "*")):
        return False
    own = [process.pid] if fault.victim in ("", "*") else []
    for number in own + (victims if fault.victim == "*" else victims[:1]):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return True


def _victims(fault: Fault, place: Path) -> list[int]:
    if not fault.victim:
        return []
    pattern = "" if fault.victim == "*" else fault.victim
    return [number for number, text in processes_of(place).items() if re.search(pattern, text)]


def processes_of(place: Path) -> dict[int, str]:
    """Those of Ray with files in ``place``, and all that they started."""
    texts: dict[int, str] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            texts[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    found = {number for number, text in texts.items() if f"{place}/ray/" in text}
    while more := {number for number, parent in parents.items() if parent in found} - found:
        found |= more
    return {number: texts.get(number, "") for number in sorted(found)}


def prepared(place: Path) -> Path:
    """``place`` with the domain and Ray's folder; its path must be short."""
    site(place)
    (place / "ray").mkdir()
    return place
