"""What a store lacks is told again, what is damaged or refused is named, and neither holds up the others."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.support import DONE, assert_equal, client_of, runs_in, spool_of, synced


def _replaced(root: Path, empty_database: Path, *folders: Path) -> Path:
    """Where another store stands that ``folders`` were told to, so they say.

    The pool of this process would still hold a file that was removed.
    """
    other = root / "again"
    other.mkdir()
    shutil.copy(empty_database, other / "mlflow.db")
    for folder in folders:
        ledger = folder / "mlflow.json"
        ledger.write_text(ledger.read_text().replace(f"{root}/mlflow.db", f"{other}/mlflow.db"))
    return other


def _forget_store(folder: Path) -> None:
    """As an earlier version kept its books."""
    ledger = folder / "mlflow.json"
    content = json.loads(ledger.read_text())
    for book in content.values():
        del book["store"]
    ledger.write_text(json.dumps(content))


@pytest.mark.parametrize("is_of_earlier_version", [False, True])
def test_a_removed_store_is_told_all_runs_again_also_those_without_news(
    root: Path, empty_database: Path, is_of_earlier_version: bool
) -> None:
    spools = [spool_of(root, name) for name in ("old", "new")]
    for spool in spools:
        spool.log({"loss": 1.0}, step=0)
        spool.finish("finished")
    folders = [spool.folder for spool in spools]
    assert synced(root, *folders) == DONE
    other = _replaced(root, empty_database, *folders)
    if is_of_earlier_version:
        for folder in folders:
            _forget_store(folder)
    spools[1].log({"loss": 2.0}, step=1)
    result = synced(other, *folders)
    assert (result.synced, result.pending, result.damaged) == (True, 0, ())
    assert result.notes == (f"sqlite:///{other}/mlflow.db lacked 2 runs that it held before; told again",)
    for folder in folders:
        assert_equal(other, folder)
    assert synced(other, *folders) == DONE


def test_a_store_of_an_earlier_version_goes_on_and_is_known_from_then_on(root: Path, empty_database: Path) -> None:
    spool = spool_of(root, "run")
    spool.log({"loss": 1.0}, step=0)
    assert synced(root, spool.folder) == DONE
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        connection.execute("DELETE FROM experiment_tags")
        connection.commit()
    _forget_store(spool.folder)
    spool.log({"loss": 2.0}, step=1)
    assert synced(root, spool.folder) == DONE
    assert_equal(root, spool.folder)
    other = _replaced(root, empty_database, spool.folder)
    assert len(synced(other, spool.folder).notes) == 1
    assert_equal(other, spool.folder)


def test_a_run_that_was_removed_from_the_store_and_has_news_is_told_again(root: Path) -> None:
    spool = spool_of(root, "run")
    spool.log({"loss": 1.0}, step=0)
    assert synced(root, spool.folder) == DONE
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        connection.executescript("DELETE FROM tags; DELETE FROM metrics; DELETE FROM latest_metrics; DELETE FROM runs")
    spool.log({"loss": 2.0}, step=1)
    result = synced(root, spool.folder)
    assert result.notes == (f"sqlite:///{root}/mlflow.db lacked 1 run that it held before; told again",)
    assert_equal(root, spool.folder)


_GOOD = b'{"step": 7, "time_ms": 1, "metrics": {"loss": 1}}\n'
_HARMS = {
    "torn record": ("run.json", b'{"kind": "tri', ""),
    "record of other kinds": (
        "run.json",
        b'{"kind": "trial", "name": "b", "parent": null, "params": [], "tags": {}, "time_ms": 1}',
        "",
    ),
    "garbage": ("metrics.jsonl", _GOOD + b"garb\rage\n" + _GOOD, "line 2"),
    "NUL": ("metrics.jsonl", _GOOD + _GOOD + b"\0" * 60 + b"\n", "line 3"),
    "text for a number": ("metrics.jsonl", b'{"step": 7, "time_ms": 1, "metrics": {"loss": "1"}}\n', "line 1"),
    "a list for metrics": ("metrics.jsonl", b'{"step": 7, "time_ms": 1, "metrics": [1]}\n', "line 1"),
    "status": ("status.json", b'{"status": "lost", "message": "", "time_ms": 1}', ""),
}


@pytest.mark.parametrize("harm", _HARMS)
def test_a_damaged_run_is_named_and_the_others_are_told(root: Path, harm: str) -> None:
    name, content, place = _HARMS[harm]
    spools = [spool_of(root, name) for name in ("a", "b", "c")]
    for spool in spools:
        spool.log({"loss": 1.0}, step=0)
        spool.artifact("notes.txt").write_text("kept")
    (spools[1].folder / name).write_bytes(content)
    result = synced(root, *(spool.folder for spool in spools))
    (damaged,) = result.damaged
    assert damaged.startswith(f"{spools[1].folder}/{name}: {place}")
    assert (result.synced, result.error) == (False, "")
    for spool in (spools[0], spools[2]):
        assert_equal(root, spool.folder)


def test_of_a_damaged_run_all_that_is_whole_is_told_and_the_rest_once_it_is_mended(root: Path) -> None:
    spool = spool_of(root, "run")
    spool.log({"loss": 1.0}, step=0)
    path = spool.folder / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0\0\n")
    spool.log({"loss": 2.0}, step=1)
    spool.finish("failed", "its process died")
    (damaged,) = synced(root, spool.folder).damaged
    assert "metrics.jsonl: line 2 is damaged" in damaged
    run = runs_in(root)["run"]
    assert (run.data.metrics, run.info.status) == ({"loss": 1.0}, "FAILED")
    path.write_bytes(path.read_bytes().replace(b"\0\0\n", b""))
    assert synced(root, spool.folder) == DONE
    assert_equal(root, spool.folder)


def test_what_cannot_be_read_is_named(root: Path) -> None:
    good, artifact, metrics = (spool_of(root, name) for name in ("z-good", "a-artifact", "b-metrics"))
    good.log({"loss": 1.0}, step=0)
    (metrics.folder / "metrics.jsonl").mkdir()
    artifact.artifact("report.md").write_text("text")
    real = Path.open

    def refusing(path: Path, *given: Any, **more: Any) -> Any:
        if path.name == "report.md":
            raise PermissionError(13, "Permission denied")
        return real(path, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", refusing)
        result = synced(root, artifact.folder, metrics.folder, good.folder)
    assert [text.removeprefix(f"{root}/") for text in result.damaged] == [
        "a-artifact/artifacts/report.md: cannot be read: Permission denied",
        "b-metrics/metrics.jsonl: cannot be read: Is a directory",
    ]
    assert_equal(root, good.folder)


def test_one_damaged_parent_is_named_once(root: Path) -> None:
    parent = spool_of(root, "parent")
    trials = [spool_of(root, name, parent=parent.folder) for name in ("a", "b")]
    (parent.folder / "run.json").write_text("")
    assert len(synced(root, parent.folder, *(trial.folder for trial in trials)).damaged) == 1


def test_one_refused_run_does_not_hold_up_the_others(root: Path) -> None:
    refused, good = spool_of(root, "refused"), spool_of(root, "good")
    assert synced(root, refused.folder) == DONE
    client_of(root).delete_run(runs_in(root)["refused"].info.run_id)
    for spool in (refused, good):
        spool.log({"loss": 1.0}, step=0)
    result = synced(root, refused.folder, good.folder)
    assert (result.synced, result.pending, result.error) == (False, 1, "")
    assert list(result.refused) == ["refused"]
    assert "active" in result.refused["refused"]
    assert_equal(root, good.folder)
