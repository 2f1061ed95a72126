"""kill -9 at random times: what is lost against an unharmed twin, and what stays behind."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.signals import LONGEST_S, command, environment, site
from tests.chaos.tally import Found, Tally, compare, found_in

_SETTINGS = (
    # What is asked must not depend on which trial ends first, so that a twin is one.
    "search.trials=4", "search.startup_trials=4", "search.reduction_factor=null", "final.steps=80",
)  # fmt: skip
RUN = ("run", *(word for item in _SETTINGS for word in ("--set", item)))
TRAIN = ("train", "--workers", "2", "--set", "final.steps=200", "--set", "final.eval_every_steps=20")
_SLOW = {"SINE_SLOW": "loss_terms", "SINE_SECONDS": "0.01"}
_LONGEST_S = 180.0


@dataclass(frozen=True)
class Fault:
    """What is killed.

    Args:
        times: how often, in the whole table.
        victim: of the command lines of Ray's processes; empty for the command itself, ``*`` for it and all of them.
        span_s: from when the first victim is there; the kill comes at random within.
        survives: whether the same process is expected to end well.
        number: what is sent.
    """

    name: str
    times: int
    arguments: tuple[str, ...]
    victim: str
    span_s: float
    survives: bool = False
    number: signal.Signals = signal.SIGKILL


FAULTS = (
    Fault("kill -9 of a trial's process", 50, RUN, r"ray::ResourceTrainable", 2.0, survives=True),
    Fault("kill -9 of the command", 50, RUN, "", 16.0),
    Fault("kill -9 of the command and all of Ray", 30, RUN, "*", 16.0),
    Fault("kill -9 of a training's worker", 20, TRAIN, r"ray::\w*TrainWorker", 5.0, survives=True),
    Fault("kill -9 of the raylet", 20, RUN, r"/raylet/raylet ", 8.0),
    Fault("SIGTERM", 20, RUN, "", 16.0, number=signal.SIGTERM),
    Fault("SIGINT", 20, RUN, "", 16.0, number=signal.SIGINT),
)


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
    tally.told += [f"{out.name}: {text}" for text in _ended_badly(fault, code, seconds)]
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
    compare(tally, out.name, found_in(out), twin)
    behind = [*processes_of(place).values(), *(place / "ray").iterdir()]
    tally.left += len(behind)
    tally.told += [f"{out.name}: left behind: {item}" for item in behind]


def _ended_badly(fault: Fault, code: int, seconds: float) -> list[str]:
    """What is wrong with how the command that was hit ended."""
    if code == 0 or (fault.number is signal.SIGKILL and not fault.survives):
        return []
    if fault.survives:
        return [f"it ended with {code}"]
    late = [f"it took {seconds:.1f} s to end"] if seconds > LONGEST_S else []
    return late if code == 128 + fault.number else [*late, f"it ended with {code}, not {128 + fault.number}"]


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
            os.kill(number, fault.number)
    return True


def _victims(fault: Fault, place: Path) -> list[int]:
    if not fault.victim:
        return []
    pattern = "" if fault.victim == "*" else fault.victim
    return [number for number, text in processes_of(place).items() if re.search(pattern, text)]


def processes_of(place: Path | None) -> dict[int, str]:
    """Those of Ray with files in ``place``, and all that they started; everyone where there is no place."""
    texts: dict[int, str] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            texts[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    found = {number for number, text in texts.items() if place is None or f"{place}/ray/" in text}
    while more := {number for number, parent in parents.items() if parent in found} - found:
        found |= more
    return {number: texts.get(number, "") for number in sorted(found)}


def prepared(place: Path) -> Path:
    """``place`` with the domain and Ray's folder; its path must be short."""
    site(place)
    (place / "ray").mkdir()
    return place
