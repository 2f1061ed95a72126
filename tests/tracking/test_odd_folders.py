"""The store is ``mlflow.db`` of its folder, whatever characters that folder's name has."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from distsys.tracking.curves_mlflow import read_mlflow
from distsys.tracking.location import database_path
from distsys.tracking.mlflow_store import MlflowMirror
from distsys.tracking.spool import RunRecord, Spool

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", ["a%20b", "what?x=1 #y", "plain"])
def test_everything_is_written_below_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path(name)
    folder = (root / "run").absolute()
    with MlflowMirror(root, "experiment") as mirror:
        spool = Spool.open(folder, RunRecord("train", "run", None, {"width": 3}, {}))
        spool.log({"mae": 0.5}, step=1)
        spool.finish("finished")
        mirror.watch(folder)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with sqlite3.connect(database_path(root)) as connection:
        assert connection.execute("select name from runs").fetchall() == [("run",)]
        (run_id,) = connection.execute("select run_uuid from runs").fetchone()
    assert read_mlflow(str(root), run_id).name
