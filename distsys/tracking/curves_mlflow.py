"""Curves of a run in an MLflow store: by a tracking URI, a database file, or (without mlflow) a folder ``mlruns``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from distsys.errors import DataError, RunFailed, UsageError
from distsys.health.curves.history import History, series_of
from distsys.health.curves.names import with_guesses
from distsys.tracking.database import connect, error_code
from distsys.tracking.location import file_uri, redacted

_INFINITY = 1.79e308
"""Databases hold no infinity: MLflow writes the largest number in its place."""
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")

Point = tuple[int, int, float]
"""Unix time in milliseconds, step, value."""


def read_mlflow(store: str, run_id: str) -> History:
    """The curves of run ``run_id`` in ``store``, with meanings guessed from their names.

    Raises:
        UsageError: there is no such store, or no such run in it.
        RunFailed: the store does not answer.
    """
    place = _place(store)
    if isinstance(place, Path):
        folders = sorted(place.glob(f"*/{run_id}/meta.yaml"))
        if not folders:
            raise UsageError(f"{place}: no run '{run_id}'", expected="a run's id, the name of its folder")
        return read_run_folder(folders[0].parent)
    try:
        client = connect(place)
        run = client.get_run(run_id)
        found = {name: _told(client.get_metric_history(run_id, name)) for name in run.data.metrics}
    except Exception as error:  # whatever a store or its driver raises
        text = redacted(" ".join(str(error).split()))[:300]
        if error_code(error) in _MISSING:
            raise UsageError(f"{redacted(place)}: {text}", expected="the id of a run in this store") from error
        raise RunFailed(f"{redacted(place)}: {text}", expected="an MLflow store that answers") from error
    return _history(run.info.run_name or run_id, found, run.data.params)


def is_run_folder(place: Path) -> bool:
    """Whether ``place`` is a run's folder below an ``mlruns``."""
    return (place / "meta.yaml").is_file() and (place / "metrics").is_dir()


def read_run_folder(place: Path) -> History:
    """The curves of a run's folder below an ``mlruns``: a file a metric, a line a point."""
    metrics = place / "metrics"
    files = [path for path in sorted(metrics.rglob("*")) if path.is_file()]
    found = {path.relative_to(metrics).as_posix(): list(_lines(path)) for path in files}
    params = place / "params"
    texts = {path.name: path.read_text(encoding="utf-8") for path in params.glob("*") if path.is_file()}
    return _history(place.name, found, texts)


def _place(store: str) -> str | Path:
    """A URI for the client, or the folder ``mlruns``."""
    if store.startswith("file:"):
        return _place(unquote(urlparse(store).path))
    if "://" in store:
        path = Path(unquote(store.removeprefix("sqlite:///"))) if store.startswith("sqlite:///") else None
        if path is not None and not path.is_file():  # the client would make one
            raise UsageError(f"--tracking {store}: there is no such file", expected="an MLflow database")
        return store
    path = Path(store)
    if path.is_dir() and not (path / "mlflow.db").is_file():
        return path / "mlruns" if (path / "mlruns").is_dir() else path
    database = path / "mlflow.db" if path.is_dir() else path
    if not database.is_file():
        raise UsageError(
            f"--tracking {store}: neither a folder nor a file",
            expected="a tracking URI, an MLflow database, or a folder mlruns",
        )
    return file_uri(database.resolve())


def _lines(path: Path) -> Iterator[Point]:
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            time_ms, value, *step = text.split()
            yield int(time_ms), int(step[0]) if step else number - 1, float(value)
        except ValueError as error:
            raise DataError(
                f"{path}: line {number}: '{text[:40]}'", expected="time in ms, value, step", fix="remove that line"
            ) from error


def _told(metrics: Iterable[Any]) -> list[Point]:
    return [(item.timestamp, item.step, item.value) for item in metrics]


def _history(name: str, found: Mapping[str, list[Point]], params: Mapping[str, str]) -> History:
    """Points in the order in which they were told: a resumed run tells some steps again."""
    series = []
    for metric, points in found.items():
        points = sorted(points, key=lambda point: point[:2])
        values = [math.copysign(math.inf, value) if abs(value) > _INFINITY else value for _, _, value in points]
        series.append(series_of(metric, [step for _, step, _ in points], values))
    if not any(len(item) for item in series):
        raise UsageError(f"run {name} has no metrics", expected="a run that logged some")
    return History(name, with_guesses(series), facts=dict(_numbers(params)))


def _numbers(params: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Settings that are numbers, by the last word of their name."""
    for name, text in params.items():
        try:
            yield name.replace("/", ".").split(".")[-1], float(text)
        except ValueError:
            continue
