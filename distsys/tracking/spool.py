"""The local spool: a run's folder on disk is the truth, and trackers are mirrors of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

from distsys.errors import RunFailed

Kind = Literal["experiment", "trial", "handoff", "final", "train"]
Status = Literal["running", "finished", "pruned", "failed", "stopped", "interrupted"]
Param = str | int | float | bool | None

_METRICS, _RECORD, _STATUS = "metrics.jsonl", "run.json", "status.json"


@dataclass(frozen=True)
class RunRecord:
    """What a run is, written once when its folder is made.

    Args:
        parent: absolute folder of the run it belongs to, or None.
        params: dotted config path to value.
    """

    kind: Kind
    name: str
    parent: str | None
    params: Mapping[str, Param]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class MetricsLine:
    """Metrics of one step; ``time_ms`` is when they were logged, in ms since 1970."""

    step: int
    time_ms: int
    metrics: Mapping[str, float]


class Tracker(Protocol):
    """Where a run's metrics and files go."""

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Note ``metrics``; one call a step, steps rising."""
        ...

    def artifact(self, name: str) -> Path:
        """A path to write the artifact ``name`` to."""
        ...

    def finish(self, status: Status, message: str = "") -> None:
        """Note how the run ended."""
        ...


class Spool:
    """A :class:`Tracker` over a run's folder; opened again, it goes on where it was.

    A resumed run computes the steps after its last checkpoint again, to the same bits: a step that is
    there already is not written twice.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _cut_torn_tail(folder / _METRICS)
        lines = read_metrics(folder)
        self._last_step = lines[-1].step if lines else -1

    @classmethod
    def open(cls, folder: Path, record: RunRecord) -> Self:
        """The spool in ``folder``, made with ``record`` when it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _RECORD).is_file():
            _write_whole(folder / _RECORD, asdict(record))
        spool = cls(folder)
        spool.finish("running")
        return spool

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Append one line.

        Raises:
            RunFailed: the disk refuses.
        """
        if step <= self._last_step:
            return
        line = {"step": step, "time_ms": time.time_ns() // 1_000_000, "metrics": dict(metrics)}
        try:
            with (self._folder / _METRICS).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RunFailed(
                f"{self._folder / _METRICS}: cannot be written ({error.strerror})",
                fix="free space, then repeat the command",
            ) from error
        self._last_step = step

    def artifact(self, name: str) -> Path:
        path = self._folder / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def finish(self, status: Status, message: str = "") -> None:
        _write_whole(self._folder / _STATUS, {"status": status, "message": message})


def read_metrics(folder: Path) -> list[MetricsLine]:
    """Every whole line of the spool in ``folder``; none when it has none yet."""
    path = folder / _METRICS
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [MetricsLine(**json.loads(line)) for line in whole.splitlines()]


def read_record(folder: Path) -> RunRecord:
    """What the run in ``folder`` is."""
    return RunRecord(**json.loads((folder / _RECORD).read_text(encoding="utf-8")))


def read_status(folder: Path) -> tuple[Status, str]:
    """How the run in ``folder`` stands, and why."""
    content = json.loads((folder / _STATUS).read_text(encoding="utf-8"))
    return content["status"], content["message"]


def _write_whole(path: Path, content: Mapping[str, object]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    os.replace(partial, path)


def _cut_torn_tail(path: Path) -> None:
    """A crash can leave half a line, and what is appended to it would be lost with it."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)
