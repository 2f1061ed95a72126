"""Run folders, their mirror, and what a store then holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distsys.tracking.mlflow_store import MlflowMirror, SyncResult
from distsys.tracking.spool import RunRecord, Spool, read_metrics

DONE = SyncResult(synced=True, pending=0, error="")


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root}/mlflow.db")


def runs_in(root: Path) -> dict[str, Any]:
    """Every run of the experiment by its name, which must be there once."""
    client = client_of(root)
    runs = client.search_runs([client.get_experiment_by_name("exp").experiment_id])
    names = [run.info.run_name for run in runs]
    assert len(names) == len(set(names)), names
    return dict(zip(names, runs, strict=True))


def spool_of(root: Path, name: str, *, parent: Path | None = None, params: dict[str, Any] | None = None) -> Spool:
    kind = "experiment" if parent is None else "trial"
    record = RunRecord(kind, name, str(parent) if parent else None, params or {}, {"domain": "toy"})
    return Spool.open((parent or root) / name, record)


def synced(root: Path, *folders: Path) -> SyncResult:
    with MlflowMirror(root, "exp") as mirror:
        for folder in folders:
            mirror.watch(folder)
        return mirror.close()


def assert_equal(root: Path, folder: Path) -> None:
    """L5: count and values of every metric."""
    lines = read_metrics(folder)
    run = runs_in(root)[folder.name]
    assert set(run.data.metrics) == {name for line in lines for name in line.metrics}
    for name in run.data.metrics:
        told = [(m.step, m.timestamp, m.value) for m in client_of(root).get_metric_history(run.info.run_id, name)]
        assert told == [(line.step, line.time_ms, line.metrics[name]) for line in lines if name in line.metrics]
