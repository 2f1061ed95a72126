"""MLflow as a mirror of the spools: one thread pushes what is new, and a store that is away costs nothing."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distsys.tracking.spool import MetricsLine, RunRecord, read_metrics, read_record, read_status

_PERIOD_S = 1.0
_MAX_BACKOFF_S = 30.0
_METRICS_A_CALL, _PARAMS_A_CALL = 1000, 100
_ENDED = {"finished": "FINISHED", "pruned": "KILLED", "interrupted": "KILLED", "failed": "FAILED", "stopped": "FAILED"}
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Without these the client repeats a call for minutes when its server is away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True)
class SyncResult:
    """Whether the store holds what the spools hold; if not, how many lines wait and why."""

    synced: bool
    pending: int
    error: str


def store_uri(root: Path) -> str:
    """``MLFLOW_TRACKING_URI``, or the SQLite file below ``root``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.absolute()}/mlflow.db"


def redacted(text: str) -> str:
    """``text`` with the password of every URL in it hidden."""
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1***@", text)


def ui_command(root: Path, *, port: int) -> list[str]:
    """The command that serves the UI of ``root``'s store on loopback."""
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store_uri(root)]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def ui_environment() -> dict[str, str]:
    """Settings under which the UI starts two processes instead of twelve."""
    return {**_QUIET, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class MlflowMirror:
    """Copies run folders to MLflow while they grow; everything it knows can be derived from them again.

    Args:
        root: folder of all experiments; holds the default SQLite store.
        experiment_name: the MLflow experiment that the runs go to.
    """

    def __init__(self, root: Path, experiment_name: str) -> None:
        self._root, self._name = root, experiment_name
        self._folders: list[Path] = []
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
        self._error = ""
        self._store: _Store | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._wake.set()

    def watch(self, folder: Path) -> None:
        """Mirror the run in ``folder`` from now on."""
        if folder not in self._folders:
            self._folders.append(folder)

    def close(self, *, timeout_s: float) -> SyncResult:
        """Wait at most ``timeout_s`` for a last push."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout_s)
        error = self._error or ("the store is slow" if self._thread.is_alive() else "")
        pending = sum(_pending_lines(folder) for folder in self._folders)
        return SyncResult(not error, pending, redacted(error))

    def _work(self) -> None:
        pause = _PERIOD_S
        while True:
            ending = self._stop.is_set()
            pause = _PERIOD_S if self._push_all() else min(2 * pause, _MAX_BACKOFF_S)
            if ending:
                return
            self._wake.wait(pause)

    def _push_all(self) -> bool:
        """One round over all folders; False when the store did not answer."""
        try:
            self._store = self._store or _Store(self._root, self._name)
            for folder in list(self._folders):
                self._store.push(folder)
        except Exception as error:  # whatever it is, training goes on
            self._error = f"{type(error).__name__}: {error}".splitlines()[0]
            self._store = None
            return False
        self._error = ""
        return True


class _Store:
    """One MLflow experiment, reached through a client without global state."""

    def __init__(self, root: Path, name: str) -> None:
        for key, value in _QUIET.items():
            os.environ.setdefault(key, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow.tracking import MlflowClient
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self._uri = store_uri(root)
        root.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(self._uri)
        self._experiment = self._find_experiment(root, name)
        self._runs: dict[str, str] = {}

    def _find_experiment(self, root: Path, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        is_local = self._uri.startswith("sqlite")
        place = (root.absolute() / "mlartifacts" / name).as_uri() if is_local else None
        return str(self._client.create_experiment(name, artifact_location=place))

    def push(self, folder: Path) -> None:
        """Bring the run of ``folder`` up to date."""
        if not (folder / "run.json").is_file():
            return
        books = _Books.read(folder, self._uri)
        status, message = read_status(folder)
        run = self._run_of(folder, books)
        lines = read_metrics(folder)
        self._push_metrics(run, lines[books.lines :])
        artifacts = self._push_artifacts(run, folder, books)
        if status != books.status:
            self._push_status(run, status, message)
        done = _Books(self._uri, run, len(lines), artifacts, status)
        if done != books:
            done.write(folder)

    def _run_of(self, folder: Path, books: _Books) -> str:
        key = str(folder)
        if key not in self._runs:
            self._runs[key] = books.run or self._found(key) or self._created(key, read_record(folder))
        return self._runs[key]

    def _found(self, folder: str) -> str:
        """A run made by a driver that died before it could write so down."""
        query = f"tags.`distsys.folder` = '{folder}'"
        found = self._client.search_runs([self._experiment], query, max_results=1)
        return str(found[0].info.run_id) if found else ""

    def _created(self, folder: str, record: RunRecord) -> str:
        tags = {**record.tags, "distsys.folder": folder, "distsys.kind": record.kind}
        if record.parent is not None:
            parent = Path(record.parent)
            tags["mlflow.parentRunId"] = self._run_of(parent, _Books.read(parent, self._uri))
        run = str(self._client.create_run(self._experiment, tags=tags, run_name=record.name).info.run_id)
        self._push_params(run, record.params)
        return run

    def _push_params(self, run: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        items = [Param(name[:250], str(value)[:6000]) for name, value in params.items()]
        for part in _parts(items, _PARAMS_A_CALL):
            self._client.log_batch(run, params=part)

    def _push_metrics(self, run: str, lines: Sequence[MetricsLine]) -> None:
        """The spool's own times make a repeated push change nothing."""
        from mlflow.entities import Metric

        items = [Metric(name, value, line.time_ms, line.step) for line in lines for name, value in line.metrics.items()]
        for part in _parts(items, _METRICS_A_CALL):
            self._client.log_batch(run, metrics=part)

    def _push_artifacts(self, run: str, folder: Path, books: _Books) -> dict[str, str]:
        known = dict(books.artifacts)
        base = folder / "artifacts"
        for path in sorted(item for item in base.rglob("*") if item.is_file()):
            name, stat = str(path.relative_to(base)), path.stat()
            stamp = f"{stat.st_size}-{stat.st_mtime_ns}"
            if known.get(name) != stamp:
                place = str(path.parent.relative_to(base))
                self._client.log_artifact(run, str(path), None if place == "." else place)
                known[name] = stamp
        return known

    def _push_status(self, run: str, status: str, message: str) -> None:
        self._client.set_tag(run, "distsys.status", status)
        if message:
            self._client.set_tag(run, "distsys.message", message[:5000])
        if status in _ENDED:
            self._client.set_terminated(run, _ENDED[status])
        else:
            self._client.update_run(run, status="RUNNING")


@dataclass(frozen=True)
class _Books:
    """What was pushed of one folder to one store."""

    uri: str
    run: str
    lines: int
    artifacts: Mapping[str, str]
    status: str

    @classmethod
    def read(cls, folder: Path, uri: str) -> Self:
        """The books of ``folder``; empty ones when it was pushed nowhere, or to another store."""
        try:
            books = cls(**json.loads((folder / "mlflow.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls(redacted(uri), "", 0, {}, "")
        return books if books.uri == redacted(uri) else cls(redacted(uri), "", 0, {}, "")

    def write(self, folder: Path) -> None:
        partial = folder / ".mlflow.json.partial"
        content = {**vars(self), "uri": redacted(self.uri)}
        partial.write_text(json.dumps(content), encoding="utf-8")
        os.replace(partial, folder / "mlflow.json")


def _pending_lines(folder: Path) -> int:
    try:
        pushed = int(json.loads((folder / "mlflow.json").read_text(encoding="utf-8"))["lines"])
    except (OSError, ValueError):
        pushed = 0
    return max(0, len(read_metrics(folder)) - pushed)


def _parts(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
