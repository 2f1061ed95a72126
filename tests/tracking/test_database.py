"""The default store's file is there whole or not at all, whoever makes it and whoever is killed meanwhile."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from distsys.errors import RunFailed
from distsys.files import lock
from distsys.tracking.database import connect_file
from distsys.tracking.mlflow_runs import MlflowStore
from distsys.tracking.mlflow_store import MlflowMirror
from distsys.tracking.spool import RunRecord, Spool, read_metrics

_MAKE = """
import sys
from pathlib import Path
from distsys.tracking.database import connect, connect_file
print("begin", flush=True)
connect_file(Path(sys.argv[1]))[0].create_experiment(sys.argv[2])
"""
_MIRROR = """
import sys, time
from pathlib import Path
from distsys.tracking.mlflow_store import MlflowMirror
mirror = MlflowMirror(Path(sys.argv[1]), "exp")
for folder in sys.argv[2:]:
    mirror.watch(Path(folder))
print("begin", flush=True)
while True:
    mirror.push_news(all_of_them=True)
"""


@contextmanager
def _python(script: str, *args: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has begun; it is killed at the end of the block, or before."""
    with subprocess.Popen([sys.executable, "-c", script, *map(str, args)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begin\n"
        try:
            yield process
        finally:
            process.kill()


def _experiments(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM experiments")}


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def test_two_that_begin_at_once_share_one_file(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with _python(_MAKE, database, "one") as one, _python(_MAKE, database, "two") as two:
        assert [process.wait(timeout=60) for process in (one, two)] == [0, 0]
    assert _experiments(tmp_path / "mlflow.db") == {"Default", "one", "two"}


def test_a_kill_while_it_is_made_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with _python(_MAKE, database, "one"):
        while not (tmp_path / ".mlflow.db.new").exists():
            time.sleep(0.01)
    assert not database.exists()
    client, told = connect_file(database)
    client.create_experiment("two")
    assert told == ""
    assert _experiments(database) == {"Default", "two"}
    assert not list(tmp_path.glob(".mlflow.db.new*"))


@pytest.fixture
def quick(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are copied, where it does not matter how they are made."""
    monkeypatch.setattr("distsys.tracking.database._make", lambda database: shutil.copy(empty_database, database))


_HALF_MADE = {
    "before the first migration": "DELETE FROM alembic_version",
    "within a migration that copies a table": "CREATE TABLE _alembic_tmp_trace_tags (a INT)",
    "within one that makes a table": "UPDATE alembic_version SET version_num = '534353b11cbc'",
    "before the last ones": "UPDATE alembic_version SET version_num = '71994744cf8e'; DROP TABLE review_queues",
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("state", _HALF_MADE)
def test_what_an_earlier_version_left_half_made_is_set_aside(root: Path, state: str) -> None:
    database = root / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(_HALF_MADE[state])
    (root / "mlflow.db-backup").write_text("not ours")
    client, told = connect_file(database)
    assert told == f"{database} was half made; it is kept as mlflow.db.damaged and made again"
    assert client.create_experiment("one")
    assert _experiments(database) == {"Default", "unused", "one"}
    assert _experiments(root / "mlflow.db.damaged") == {"Default", "unused"}
    assert (root / "mlflow.db-backup").read_text() == "not ours"


@pytest.mark.usefixtures("quick")
def test_a_kill_within_a_write_is_no_reason_to_keep_a_half_made_one(root: Path) -> None:
    killed = root / "killed" / "mlflow.db"
    killed.parent.mkdir()
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        connection.executescript(
            "PRAGMA journal_mode = delete; DELETE FROM alembic_version; PRAGMA cache_size = 1;"
            "BEGIN; CREATE TABLE much (a); INSERT INTO much SELECT hex(randomblob(2000)) FROM pragma_function_list;"
        )
        for ending in ("", "-journal"):
            shutil.copy(f"{root}/mlflow.db{ending}", f"{killed}{ending}")
    assert "was half made" in connect_file(killed)[1]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("harm", ["torn", "garbage", "empty"])
def test_what_is_no_whole_database_is_set_aside(root: Path, harm: str) -> None:
    database = root / "mlflow.db"
    content = database.read_bytes()
    harmed = {"torn": content[: len(content) // 3], "garbage": b"garbage" * 999, "empty": b""}[harm]
    database.write_bytes(harmed)
    _, told = connect_file(database)
    assert "it is kept as mlflow.db.damaged and made again" in told
    assert (root / "mlflow.db.damaged").read_bytes() == harmed
    assert _experiments(database) == {"Default", "unused"}


def test_one_that_holds_a_run_is_left_alone(root: Path) -> None:
    client, _ = connect_file(root / "mlflow.db")
    client.create_run("0")
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        connection.executescript(_HALF_MADE["within one that makes a table"])
    assert connect_file(root / "mlflow.db")[1] == ""


def test_one_that_another_process_makes_for_ever_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distsys.tracking.database._PATIENCE_S", 0.05)
    with lock(root / ".mlflow.db.lock"), pytest.raises(RunFailed, match="another process has been making it"):
        connect_file(root / "mlflow.db")


def test_a_journal_without_its_file_does_not_come_into_the_next_one(tmp_path: Path) -> None:
    store = MlflowStore(tmp_path, "old")
    saved = {path.name: path.read_bytes() for path in tmp_path.glob("mlflow.db-*")}
    assert saved["mlflow.db-wal"], "the experiment stands in the journal alone"
    del store
    for path in tmp_path.glob("mlflow.db*"):
        path.unlink()
    for name, content in saved.items():
        (tmp_path / name).write_bytes(content)
    # Another process, as the pool of this one still holds the removed file.
    with _python(_MAKE, tmp_path / "mlflow.db", "new") as process:
        assert process.wait(timeout=60) == 0
    assert _experiments(tmp_path / "mlflow.db") == {"Default", "new"}


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_after_kills_the_store_holds_every_point_once(tmp_path: Path, kills: int) -> None:
    rng = random.Random(0)
    parent = Spool.open(tmp_path / "parent", RunRecord("experiment", "parent", None, {"seed": 1}, {}))
    record = RunRecord("trial", "trial", str(parent.folder), {"rate": 0.1}, {})
    trials = [Spool.open(tmp_path / f"trial-{number}", record) for number in range(3)]
    folders = [parent.folder, *(trial.folder for trial in trials)]
    for turn in range(kills):
        for trial in trials:
            for step in range(40 * turn, 40 * (turn + 1)):
                trial.log({"loss": 1 / (step + 3), "rate": float(step)}, step=step)
        with _python(_MIRROR, tmp_path, *folders):
            time.sleep(rng.uniform(0.2, 3.0))
    with MlflowMirror(tmp_path, "exp") as mirror:
        for folder in folders:
            mirror.watch(folder)
        result = mirror.close(timeout_s=60.0)
    assert (result.synced, result.pending) == (True, 0)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
        (num_points,) = connection.execute("SELECT count(*) FROM metrics").fetchone()
        wrong = connection.execute(
            "SELECT count(*) FROM metrics WHERE key = 'loss' AND abs(value * (step + 3) - 1) > 1e-9"
        )
        assert wrong.fetchone() == (0,)
    assert num_points == sum(2 * len(read_metrics(trial.folder)) for trial in trials) == 3 * 2 * 40 * kills
