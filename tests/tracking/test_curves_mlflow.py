"""Curves come back from MLflow as they were told: from a database by its client, from a folder without it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from distsys.errors import DataError, RunFailed, UsageError
from distsys.health.curves.history import History
from distsys.tracking.curves_mlflow import is_run_folder, read_mlflow, read_run_folder

LOSSES = [0.5, 0.4, math.inf, math.nan, 0.3]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A database with one run of somebody else's, and the run's id."""
    root = tmp_path_factory.mktemp("foreign")
    client = client_of(root)
    run = client.create_run(client.create_experiment("theirs", artifact_location=str(root / "a")), run_name="net")
    run_id: str = run.info.run_id
    client.log_param(run_id, "data/batch_size", 64)
    client.log_param(run_id, "optimizer", "adam")
    for step, value in enumerate(LOSSES):
        client.log_metric(run_id, "val_loss", value, timestamp=1000 + step, step=10 * step)
    for time_ms, step, value in [(1, 0, 0.1), (2, 5, 0.2), (3, 0, 0.3), (4, 5, 0.4)]:
        client.log_metric(run_id, "val_acc", value, timestamp=time_ms, step=step)
    return root, run_id


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root}/mlflow.db")


def check(found: History) -> None:
    loss, accuracy = found.get("val_loss"), found.get("val_acc")
    assert loss is not None and accuracy is not None
    assert loss.steps.tolist() == [0, 10, 20, 30, 40]
    assert loss.values.tolist()[:3] == [0.5, 0.4, math.inf]
    assert math.isnan(loss.values[3])
    assert (loss.meaning.kind, loss.meaning.split) == ("loss", "validation")
    assert accuracy.values.tolist() == [0.3, 0.4]  # what was told later stands
    assert accuracy.repeats == ()
    assert found.facts == {"batch_size": 64.0}


@pytest.mark.parametrize("form", ["sqlite:///{root}/mlflow.db", "{root}/mlflow.db", "{root}"])
def test_a_database_is_read(store: tuple[Path, str], form: str) -> None:
    root, run_id = store
    found = read_mlflow(form.format(root=root), run_id)
    assert found.name == "net"
    check(found)


def write_folder(root: Path) -> Path:
    """A run below ``mlruns``, as MLflow's file store wrote it."""
    run = root / "mlruns" / "0" / "abc123"
    for name in ("metrics", "params"):
        (run / name).mkdir(parents=True)
    (run / "meta.yaml").write_text("run_id: abc123\n")
    (run / "params" / "batch_size").write_text("64")
    losses = "".join(f"{1000 + step} {value} {10 * step}\n" for step, value in enumerate(LOSSES))
    (run / "metrics" / "val_loss").write_text(losses)
    (run / "metrics" / "val_acc").write_text("1 0.1 0\n2 0.2 5\n3 0.3 0\n4 0.4 5\n")
    return run


@pytest.mark.parametrize("form", ["{root}/mlruns", "{root}", "file://{root}/mlruns"])
def test_a_folder_is_read(tmp_path: Path, form: str) -> None:
    run = write_folder(tmp_path)
    check(read_mlflow(form.format(root=tmp_path), "abc123"))
    assert is_run_folder(run)
    assert not is_run_folder(tmp_path)
    check(read_run_folder(run))


def test_a_metric_in_a_group_keeps_its_name(tmp_path: Path) -> None:
    run = write_folder(tmp_path)
    (run / "metrics" / "train").mkdir()
    (run / "metrics" / "train" / "loss").write_text("1 0.5 0\n2 0.4 1\n")
    assert read_run_folder(run).get("train/loss") is not None


def test_what_is_not_there_is_refused_and_nothing_is_made(store: tuple[Path, str], tmp_path: Path) -> None:
    write_folder(tmp_path)
    with pytest.raises(UsageError, match="no run 'def'"):
        read_mlflow(str(tmp_path / "mlruns"), "def")
    with pytest.raises(UsageError, match="neither a folder nor a file"):
        read_mlflow(str(tmp_path / "none.db"), "abc")
    with pytest.raises(UsageError, match="there is no such file"):
        read_mlflow(f"sqlite:///{tmp_path}/none.db", "abc")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(UsageError, match="0123"):
        read_mlflow(str(store[0]), "0123" * 8)


def test_a_damaged_line_and_a_database_that_is_none_are_told(tmp_path: Path) -> None:
    run = write_folder(tmp_path)
    (run / "metrics" / "val_loss").write_text("1 0.5 0\nhalf\n")
    with pytest.raises(DataError, match="line 2: 'half'"):
        read_run_folder(run)
    (tmp_path / "bad.db").write_text("no database" * 100)
    with pytest.raises(RunFailed, match="an MLflow store that answers"):
        read_mlflow(str(tmp_path / "bad.db"), "abc")


def test_a_run_without_metrics_is_told(tmp_path: Path) -> None:
    run = write_folder(tmp_path)
    for path in (run / "metrics").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="has no metrics"):
        read_run_folder(run)
