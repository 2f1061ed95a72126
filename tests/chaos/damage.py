"""Kills before every change of a file, damaged checkpoints, torn files: each against an unharmed twin."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.chaos.forked import LONG, RUN, Ended, ended
from tests.chaos.tally import Tally, compare, found_in

_TORN = (
    "study.log",
    "trials/*/metrics.jsonl",
    "final/*/metrics.jsonl",
    "*/*/outcome.json",
    "*/*/status.json",
    "*.json",
)


class Twin:
    """The unharmed experiment of a command, and how many changes of files it takes."""

    def __init__(self, arguments: tuple[str, ...], place: Path) -> None:
        self.arguments, self.place = arguments, place
        out = place / f"unharmed-{arguments[0]}"
        done = self.run(out)
        assert done.code == 0, done.said
        self.found, self.changes = found_in(out), done.changes

    def run(self, out: Path, *, kill_before: int = 0) -> Ended:
        return ended(self.arguments, place=self.place, out=out, kill_before=kill_before)

    def judge(self, tally: Tally, out: Path) -> str:
        """Have the same command go on, compare, and give what it said."""
        began = time.monotonic()
        done = self.run(out)
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
        if done.code != 0 or "Traceback" in done.said:
            tally.told.append(f"{out.name}: exit code {done.code}: {done.said[-600:]}")
        else:
            compare(tally, out.name, found_in(out), self.found)
        return done.said


def killed_before_changes(place: Path, share: float) -> Iterator[Tally]:
    """A whole experiment, killed before each of its changes of files."""
    twin = Twin(RUN, place)
    every = range(1, twin.changes + 1)
    some = sorted(random.Random(0).sample(every, max(1, round(share * len(every)))))
    tally = Tally("kill -9 before a change of a file", len(some))
    for number in some:
        out = place / f"change-{number}"
        tally.hit += twin.run(out, kill_before=number).code == -9
        twin.judge(tally, out)
    yield tally


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(1, len(content))])


def _empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _age(path: Path, rng: random.Random) -> None:
    """Whole, but of another version."""
    meta, manifest = path.with_name("meta.json"), path.with_name("manifest.json")
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "format": 0}))
    hashes = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**hashes, meta.name: hashlib.sha256(meta.read_bytes()).hexdigest()}))


_DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "a flipped bit": _flip,
    "cut": _truncate,
    "empty": _empty,
    "of another version": _age,
}


def damaged_checkpoints(place: Path, share: float) -> Iterator[Tally]:
    """The newest checkpoint of a training that was killed, harmed in four ways: the one before is used, and said."""
    twin = Twin(LONG, place)
    for name in _DAMAGES:
        yield _damaged(twin, name, max(1, round(10 * share)))


def _damaged(twin: Twin, name: str, times: int) -> Tally:
    tally, rng = Tally(f"checkpoint {name}", times), random.Random(name)
    for turn in range(times):
        out = twin.place / f"{name.replace(' ', '')}-{turn}"
        steps: list[Path] = []
        while len(steps) < 2:
            shutil.rmtree(out, ignore_errors=True)
            twin.run(out, kill_before=rng.randrange(twin.changes // 2, twin.changes))
            steps = [] if any(out.glob("*/final/*/outcome.json")) else sorted(out.glob("*/final/*/checkpoints/step-*"))
        _DAMAGES[name](rng.choice(sorted(steps[-1].iterdir())), rng)
        tally.hit += 1
        said = twin.judge(tally, out)
        if "skipped a damaged checkpoint" not in " ".join(said.split()):
            tally.told.append(f"{out.name}: nothing is said: {said[-300:]}")
    return tally


def torn_files(place: Path, share: float) -> Iterator[Tally]:
    """Cut within the last two lines of study, metrics or JSON, at any byte, after a kill at any change."""
    twin, rng = Twin(RUN, place), random.Random(1)
    tally = Tally("study, metrics or JSON torn", max(1, round(100 * share)))
    for turn in range(tally.times):
        out = place / f"torn-{turn}"
        pattern = _TORN[turn % len(_TORN)]
        found: list[Path] = []
        while not found:
            shutil.rmtree(out, ignore_errors=True)
            twin.run(out, kill_before=rng.randrange(1, twin.changes))
            found = [path for path in _unended(out.glob(f"*/{pattern}")) if path.stat().st_size]
        _tear(rng.choice(sorted(found)), rng)
        tally.hit += 1
        twin.judge(tally, out)
    yield tally


def _unended(paths: Iterable[Path]) -> list[Path]:
    """Metrics of a run that has ended are on the disk before its outcome is."""
    return [path for path in paths if path.name != "metrics.jsonl" or not (path.parent / "outcome.json").exists()]


def _tear(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    begin = content.rstrip(b"\n").rfind(b"\n", 0, max(0, content.rstrip(b"\n").rfind(b"\n"))) + 1
    end = rng.randrange(begin, len(content))
    path.write_bytes(content[:end] if rng.random() < 0.5 else content[:end].ljust(len(content), b"\0"))
