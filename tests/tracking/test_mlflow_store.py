"""MLflow equals the run folders, whenever and however often it is told."""

from __future__ import annotations

import math
import shutil
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distsys.health.verdict import Verdict
from distsys.tracking.mlflow_runs import MAX_KEY, MlflowStore
from distsys.tracking.mlflow_store import MlflowMirror
from distsys.tracking.spool import RunRecord, Spool
from tests.tracking.support import DONE, assert_equal, client_of, runs_in, spool_of, synced

CLOSED_PORT = "http://127.0.0.1:9"


def test_runs_whose_folders_came_from_another_machine_find_their_parent(root: Path) -> None:
    there = root / "there" / "parent"
    Spool.open(there, RunRecord("experiment", "parent", None, {}, {}))
    Spool.open(there / "trials" / "trial", RunRecord("trial", "trial", str(there), {}, {}))
    here = root / "here" / "parent"
    shutil.copytree(there, here)
    shutil.rmtree(there)
    assert synced(root, here / "trials" / "trial") == DONE
    runs = runs_in(root)
    assert runs["trial"].data.tags["mlflow.parentRunId"] == runs["parent"].info.run_id


def test_parent_children_params_and_metrics(root: Path) -> None:
    parent = spool_of(root, "parent", params={"search.num_trials": 2})
    trials = [
        spool_of(root, f"trial-{i}", parent=parent.folder, params={"optim.lr": 0.1 * i, "ema": None}) for i in (1, 2)
    ]
    for trial in trials:
        for step in range(5):
            trial.log({"rms_ratio": 1 / (step + 3), f"only_{step}": 1.0}, step=step)
    # Children before their parent, and the parent not at all: it is created along with them.
    assert synced(root, *(trial.folder for trial in trials)) == DONE
    runs = runs_in(root)
    assert set(runs) == {"parent", "trial-1", "trial-2"}
    for trial in trials:
        assert_equal(root, trial.folder)
        tags = runs[trial.folder.name].data.tags
        assert tags["mlflow.parentRunId"] == runs["parent"].info.run_id
        assert (tags["distsys.kind"], tags["distsys.folder"]) == ("trial", str(trial.folder))
        assert tags["domain"] == "toy"
    assert runs["trial-2"].data.params == {"optim.lr": "0.2", "ema": "None"}
    assert runs["parent"].data.params == {"search.num_trials": "2"}
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not (root / "mlruns").exists()


def test_a_run_can_be_found_by_its_health_and_says_cause_and_fix(root: Path) -> None:
    causes = ("rms_ratio outside its band", "not finite")
    verdicts = [Verdict("stop", cause, f"evidence {cause}", 20, f"mend {cause}") for cause in causes]
    spools = {name: spool_of(root, name) for name in ("sick", "healthy", "going", "broken")}
    spools["sick"].finish("stopped", "no checkpoint is healthy", verdicts=verdicts)
    spools["healthy"].finish("finished")
    spools["broken"].finish("failed", "disk full")
    assert synced(root, *(spool.folder for spool in spools.values())) == DONE
    tags = {name: run.data.tags for name, run in runs_in(root).items()}
    assert tags["sick"]["health"] == "sick"
    assert tags["sick"]["cause"] == "; ".join(causes)
    assert tags["sick"]["fix"] == "mend rms_ratio outside its band; mend not finite"
    assert "evidence not finite" in tags["sick"]["evidence"]
    assert tags["healthy"]["health"] == "healthy"
    assert "health" not in tags["going"] | tags["broken"]


def test_more_metrics_and_params_than_one_call_takes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    sizes: list[tuple[int, int]] = []
    real = MlflowClient.log_batch

    def counted(self: Any, run_id: str, metrics: Any = (), params: Any = (), **others: Any) -> None:
        sizes.append((len(metrics), len(params)))
        real(self, run_id, metrics=metrics, params=params, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    spool = spool_of(root, "run", params={f"p{i}": i for i in range(150)})
    for step in range(23):
        spool.log({f"m{i}": step + i / 7 for i in range(101)}, step=step)
    assert synced(root, spool.folder) == DONE
    assert sizes == [(0, 100), (0, 50), (1000, 0), (1000, 0), (323, 0)]
    assert_equal(root, spool.folder)
    assert len(runs_in(root)["run"].data.params) == 150


def test_news_arrive_while_it_runs(root: Path) -> None:
    spool = spool_of(root, "run")
    with MlflowMirror(root, "exp") as mirror:
        mirror.watch(spool.folder)
        spool.log({"loss": 3.0}, step=0)
        deadline = time.monotonic() + 30
        while not (spool.folder / "mlflow.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        spool.log({"loss": 2.0}, step=1)
        assert mirror.close() == DONE
    assert_equal(root, spool.folder)


def test_a_crash_before_the_bookkeeping_doubles_nothing(root: Path) -> None:
    parent = spool_of(root, "parent")
    trial = spool_of(root, "it's a trial", parent=parent.folder, params={"optim.lr": 0.1})
    for step in range(4):
        trial.log({"loss": step / 3, "nan": math.nan}, step=step)
    assert synced(root, parent.folder, trial.folder) == DONE
    for spool in (parent, trial):
        (spool.folder / "mlflow.json").unlink()
    trial.log({"loss": 9.0, "nan": math.nan}, step=4)
    assert synced(root, parent.folder, trial.folder) == DONE
    run = runs_in(root)["it's a trial"]
    history = client_of(root).get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 0.0), (1, 1 / 3), (2, 2 / 3), (3, 1.0), (4, 9.0)]
    assert len(client_of(root).get_metric_history(run.info.run_id, "nan")) == 5


def test_a_round_looks_at_what_goes_on_or_was_watched_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    push = MlflowStore.push

    def noted(store: MlflowStore, folder: Path) -> None:
        looked.append(folder.name)
        push(store, folder)

    monkeypatch.setattr(MlflowStore, "push", noted)
    spools = {name: spool_of(root, name) for name in ("ended", "running")}
    spools["ended"].finish("finished")
    mirror = MlflowMirror(root, "exp")
    for spool in spools.values():
        mirror.watch(spool.folder)
    for expected in (["ended", "running"], ["running"], ["running"]):
        mirror.push_news()
        assert looked == expected
        looked.clear()
    spools["ended"].artifact("late.txt").write_text("late")
    mirror.watch(spools["ended"].folder)
    mirror.push_news()
    assert sorted(looked) == ["ended", "running"]


def test_a_store_that_is_away_costs_nothing_and_is_told_later(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", CLOSED_PORT)
        begin = time.monotonic()
        with MlflowMirror(root, "exp") as mirror:
            spool = spool_of(root, "run")
            mirror.watch(spool.folder)
            for step in range(20):
                spool.log({"loss": step / 9}, step=step)
            assert time.monotonic() - begin < 2.0
            begin = time.monotonic()
            result = mirror.close(timeout_s=2)
            assert time.monotonic() - begin < 4.0
    assert (result.synced, result.pending) == (False, 20)
    assert "127.0.0.1" in result.error
    assert synced(root, spool.folder) == DONE
    assert_equal(root, spool.folder)


def test_a_store_that_hangs_does_not_hold_up_the_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = spool_of(root, "run")
    spool.log({"loss": 1.0}, step=0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "6")
        begin = time.monotonic()
        with MlflowMirror(root, "exp") as mirror:
            mirror.watch(spool.folder)
            result = mirror.close(timeout_s=0.5)
        assert time.monotonic() - begin < 3.0
    assert (result.synced, result.pending) == (False, 1)
    assert "did not answer within 0.5 s" in result.error
    assert "s3cret" not in result.error


def test_a_password_is_not_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s3cret@127.0.0.1:9")
    with MlflowMirror(root, "exp") as mirror:
        mirror.watch(spool_of(root, "run").folder)
        result = mirror.close(timeout_s=0.1)
    assert not result.synced
    assert "s3cret" not in result.error


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("running", "RUNNING"),
        ("finished", "FINISHED"),
        ("failed", "FAILED"),
        ("pruned", "KILLED"),
        ("stopped", "KILLED"),
        ("interrupted", "KILLED"),
    ],
)
def test_statuses(root: Path, status: str, expected: str) -> None:
    spool = spool_of(root, "run")
    spool.finish(status, "because")
    assert synced(root, spool.folder) == DONE
    run = runs_in(root)["run"]
    assert run.info.status == expected
    assert (run.info.end_time is None) == (status == "running")
    assert (run.data.tags["distsys.status"], run.data.tags["distsys.message"]) == (status, "because")


def test_a_resumed_run_is_running_again(root: Path) -> None:
    spool = spool_of(root, "run")
    spool.finish("interrupted")
    assert synced(root, spool.folder) == DONE
    assert synced(root, spool_of(root, "run").folder) == DONE
    run = runs_in(root)["run"]
    assert (run.info.status, run.data.tags["distsys.status"]) == ("RUNNING", "running")


def test_artifacts_new_and_changed(root: Path) -> None:
    spool = spool_of(root, "run")
    spool.artifact("report.md").write_text("one")
    spool.artifact("figures/a.png").write_bytes(b"a")
    assert synced(root, spool.folder) == DONE
    spool.artifact("report.md").write_text("three")
    assert synced(root, spool.folder) == DONE
    (stored,) = (root / "mlartifacts").glob("*/artifacts")
    assert (stored / "report.md").read_text() == "three"
    assert (stored / "figures" / "a.png").read_bytes() == b"a"


def test_names_and_values_beyond_the_limits(root: Path) -> None:
    long = "a" * 300
    spool = spool_of(root, "run", params={long: "v" * 7000, long + "b": 1, "odd[0]": True})
    spool.log({"per cent %": 1.0, "λ": 2.0}, step=0)
    assert synced(root, spool.folder) == DONE
    data = runs_in(root)["run"].data
    assert len(data.params) == 3
    assert all(len(key) <= MAX_KEY for key in data.params)
    assert data.params["odd_0_"] == "True"
    assert data.metrics == {"per cent _": 1.0, "λ": 2.0}


def test_columns_of_the_pages_are_filled(root: Path) -> None:
    """Source, version and data, and what people filter by."""
    tags = {
        "code.commit": "abc",
        "data.source": "settings.csv",
        "data.validation_digest": "11aa",
        "data.test_digest": "22bb",
    }
    spool = Spool.open(root / "one", RunRecord("final", "one", None, {"domain": "toy"}, tags))
    spool.finish("pruned")
    assert synced(root, spool.folder) == DONE
    run = runs_in(root)["one"]
    assert run.data.tags["mlflow.source.name"] == "distsys final"
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    assert run.data.tags["pruned"].startswith("stopped early")
    found = {item.dataset.name: (item.dataset.digest, item.dataset.source) for item in run.inputs.dataset_inputs}
    assert found == {"toy validation": ("11aa", "settings.csv"), "toy test": ("22bb", "settings.csv")}
