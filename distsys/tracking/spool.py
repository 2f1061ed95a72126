"""A run on the local disk: what it is, its metrics, status and artifacts. This is the truth; stores mirror it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from distsys.errors import DamagedFile, RunFailed
from distsys.files import append, cut_torn_tail, full_disk_named, read_json, sync_file, write_json
from distsys.health.verdict import Verdict

RUN_FILE, METRICS_FILE, STATUS_FILE, ARTIFACTS = "run.json", "metrics.jsonl", "status.json", "artifacts"
KINDS = ("experiment", "trial", "handoff", "final", "train")
STATUSES = ("running", "finished", "failed", "pruned", "stopped", "interrupted")

_RUN_AGAIN = "repeat the command that made the run: it writes the file anew"

ATTEMPT = "rollbacks"
"""Metric of runs that can go back: how often they did. Lines of a later attempt take the place of what they repeat."""

Param = str | int | float | bool | None


@dataclass(frozen=True)
class RunRecord:
    """What a run is; written once.

    Args:
        kind: one of ``KINDS``.
        name: shown to people.
        parent: absolute path of the parent run's folder.
        params: dotted config path -> value.
        tags: free text by name.
    """

    kind: str
    name: str
    parent: str | None
    params: Mapping[str, Param]
    tags: Mapping[str, str]

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind
        assert isinstance(self.params, Mapping), self.params
        assert all(isinstance(text, str) for text in [self.name, *self.tags.values()]), self.tags
        assert self.parent is None or Path(self.parent).is_absolute(), self.parent


@dataclass(frozen=True)
class MetricsLine:
    """The metrics of one step; ``time_ms`` is Unix time in milliseconds."""

    step: int
    time_ms: int
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        assert isinstance(self.step, int) and isinstance(self.time_ms, int)
        assert all(isinstance(value, int | float) for value in self.metrics.values())


@dataclass(frozen=True)
class RunStatus:
    """How a run stands (one of ``STATUSES``), why, since when in Unix milliseconds, and what is wrong with it."""

    status: str
    message: str
    time_ms: int
    verdicts: tuple[Verdict, ...] = ()

    def __post_init__(self) -> None:
        assert self.status in STATUSES, self.status
        assert isinstance(self.message, str) and isinstance(self.time_ms, int)


class Tracker(Protocol):
    """What a training loop reports to."""

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Store the metrics of ``step``, all in one call."""

    def flush(self) -> None:
        """Have what was stored reach the disk."""

    def artifact(self, name: str) -> Path:
        """Where to write the file ``name``, which may hold folders; they are made."""

    def finish(self, status: str, message: str = "", *, verdicts: Sequence[Verdict] = ()) -> None:
        """Record how the run ended, and what is wrong with it."""


class Spool:
    """A ``Tracker`` over the folder of a run that ``open`` made. One process writes at a time; any number may read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = read_metrics(folder)
        self._last = _mark(lines[-1].metrics, lines[-1].step) if lines else None

    @classmethod
    def open(cls, folder: Path, record: RunRecord) -> Self:
        """Start the run, or go on with it: a whole ``run.json`` stays and a torn last metrics line is cut."""
        try:
            with full_disk_named(folder):
                (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
            if not _is_known(folder):
                write_json(folder / RUN_FILE, {**asdict(record), "time_ms": _now_ms()})
            cut_torn_tail(folder / METRICS_FILE)
        except OSError as error:
            raise _unwritable(folder, error) from error
        spool = cls(folder)
        spool.finish("running")
        return spool

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Append one line. A step already stored is dropped: a resumed run recomputes the same values.

        A run that went back may store it again, under a higher ``ATTEMPT``.

        Raises:
            RunFailed: the file cannot be written; what was stored before stays intact.
        """
        values = {name: float(value) for name, value in metrics.items()}
        mark = _mark(values, step)
        if self._last is not None and mark <= self._last:
            return
        line = json.dumps({"step": step, "time_ms": _now_ms(), "metrics": values}) + "\n"
        path = self.folder / METRICS_FILE
        try:
            append(path, line.encode())
        except OSError as error:
            raise _unwritable(path, error) from error
        self._last = mark

    def flush(self) -> None:
        """Have what was logged reach the disk."""
        sync_file(self.folder / METRICS_FILE)

    def artifact(self, name: str) -> Path:
        """The path under ``artifacts/`` to write ``name`` to."""
        path = self.folder / ARTIFACTS / name
        assert ".." not in Path(name).parts, name
        assert not Path(name).is_absolute(), name
        try:
            with full_disk_named(path):
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        return path

    def finish(self, status: str, message: str = "", *, verdicts: Sequence[Verdict] = ()) -> None:
        """Replace ``status.json`` in one step."""
        assert status in STATUSES, status
        path = self.folder / STATUS_FILE
        try:
            found = [verdict.content() for verdict in verdicts]
            write_json(path, {"status": status, "message": message, "time_ms": _now_ms(), "verdicts": found})
        except OSError as error:
            raise _unwritable(path, error) from error


def read_metrics(folder: Path) -> list[MetricsLine]:
    """The complete lines in the order of steps, without those that a run went back behind.

    One still being written is left out. ``DamagedFile`` where one is damaged.
    """
    lines: list[MetricsLine] = []
    for line, _ in read_metrics_from(folder, 0):
        while lines and lines[-1].step >= line.step:
            lines.pop()
        lines.append(line)
    return lines


def _mark(metrics: Mapping[str, float], step: int) -> tuple[float, int]:
    """What grows from line to line of a run."""
    return metrics.get(ATTEMPT, 0.0), step


def read_metrics_from(folder: Path, offset: int) -> Iterator[tuple[MetricsLine, int]]:
    """Each complete line after byte ``offset``, with the byte at which it ends, up to a ``DamagedFile``."""
    path = folder / METRICS_FILE
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            file.seek(offset)
            raw = file.read()
    except OSError as error:
        raise DamagedFile(
            f"{path}: cannot be read: {error.strerror or error}", expected="a file of metrics", fix="mend or remove it"
        ) from error
    for text in raw.split(b"\n")[:-1]:
        offset += len(text) + 1
        yield _parse(text, path=path, end=offset), offset


def read_record(folder: Path) -> RunRecord:
    """What the run in ``folder`` is. Raises ``DamagedFile`` where ``run.json`` is absent or damaged."""
    names = RunRecord.__dataclass_fields__
    return read_json(
        folder / RUN_FILE, lambda stored: RunRecord(**{name: stored[name] for name in names}), fix=_RUN_AGAIN
    )


def parent_of(folder: Path, record: RunRecord) -> Path | None:
    """Where the parent of the run in ``folder`` is: as was recorded or, on another machine, above it by its name."""
    if record.parent is None:
        return None
    recorded = Path(record.parent)
    if recorded.is_dir():
        return recorded
    return next((above for above in folder.parents if above.name == recorded.name), recorded)


def _is_known(folder: Path) -> bool:
    try:
        read_record(folder)
    except DamagedFile:
        return False
    return True


def read_start_ms(folder: Path) -> int:
    """When the run was first opened, in Unix milliseconds."""
    return read_json(folder / RUN_FILE, lambda stored: int(stored["time_ms"]), fix=_RUN_AGAIN)


def read_status(folder: Path) -> RunStatus:
    """How the run in ``folder`` stands. Raises ``DamagedFile`` where ``status.json`` is absent or damaged."""

    def parsed(stored: dict[str, Any]) -> RunStatus:
        return RunStatus(**{**stored, "verdicts": Verdict.read_all(stored.get("verdicts", ()))})

    return read_json(folder / STATUS_FILE, parsed, fix=_RUN_AGAIN)


def _parse(text: bytes, *, path: Path, end: int) -> MetricsLine:
    try:
        return MetricsLine(**json.loads(text))
    except (ValueError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        with path.open("rb") as file:
            number = file.read(end).count(b"\n")
        raise DamagedFile(
            f"{path}: line {number} is damaged: {text[:60]!r}",
            expected='{"step": ..., "time_ms": ..., "metrics": {...}}',
            fix="remove that line",
        ) from error


def _unwritable(path: Path, error: OSError) -> RunFailed:
    return RunFailed(
        f"{path}: cannot be written: {error.strerror or error}",
        expected="a folder with free space that this user may write to",
        fix="free space or change the output folder; the same command then resumes",
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
