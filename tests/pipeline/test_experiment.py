"""The whole way: search, handoff, final training, evaluation, report, MLflow; and the same command again."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distsys.files import lock
from distsys.tracking.spool import read_metrics, read_status

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.promise, pytest.mark.filterwarnings("ignore")]
Call = Callable[..., tuple[int, str, str]]


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(query).fetchall()


def command(outside: Path, out: Path, *extra: str) -> list[str]:
    base = [sys.executable, "-m", "distsys.cli", "run", str(outside / "sine.yaml")]
    return [*base, "--space", str(outside / "space.yaml"), "--out", str(out), "--json", *extra]


@pytest.fixture(scope="module")
def finished(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One experiment of the outside domain, run to its end by the command line."""
    out = tmp_path_factory.mktemp("finished")
    done = subprocess.run(command(outside, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder,) = (path for path in out.iterdir() if path.name.startswith("sine-"))
    return folder, json.loads(done.stdout)


def test_it_ends_with_a_model_its_baselines_and_a_report(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, printed = finished
    assert printed["baselines"]["zero"]["metrics"]["mae"] > printed["metrics"]["mae"]
    assert printed["constraints"]["spread"]["holds"] is True
    report = (folder / "report.html").read_text()
    for text in ("Beside other methods", "Final training", "Handoff", "Search", "lambda_size", "<svg"):
        assert text in report
    assert (Path(str(printed["checkpoint"])) / "manifest.json").is_file()


def test_its_report_is_written_again_by_its_folder_alone(
    finished: tuple[Path, dict[str, Any]], distsys: Call, tmp_path: Path
) -> None:
    folder, _ = finished
    moved = tmp_path / folder.name
    shutil.copytree(folder, moved)
    (moved / "report.html").unlink()
    shutil.rmtree(moved / "report")
    code, out, err = distsys("report", str(moved))
    assert (code, out) == (0, f"report: {moved / 'report.html'}\n"), err
    again = (moved / "report.html").read_text().replace(str(moved), str(folder))
    assert again == (folder / "report.html").read_text()
    assert {"metrics.csv", "trials.csv", "handoff.csv", "terms.csv"} <= {
        item.name for item in (moved / "report").iterdir()
    }
    code, _, err = distsys("report", str(folder / "trials"))
    assert code == 2
    assert "no experiment" in err


def test_its_report_says_what_its_time_cost(
    finished: tuple[Path, dict[str, Any]], distsys: Call, tmp_path: Path
) -> None:
    folder = tmp_path / finished[0].name
    shutil.copytree(finished[0], folder)
    code, _, err = distsys("report", str(folder), "--cost-per-hour", "3600", "--watts", "3600000")
    assert code == 0, err
    with (folder / "report" / "phases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == ["search", "handoff", "final", "whole"]
    for row in rows:  # one a second of each
        hours, minutes, seconds = (int(part) for part in row["hours:minutes:seconds"].split(":"))
        passed = 3600 * hours + 60 * minutes + seconds
        assert float(row["cost"]) == pytest.approx(passed, abs=0.51)
        assert float(row["kWh"]) == pytest.approx(float(row["cost"]))
    assert float(rows[-1]["cost"]) == pytest.approx(sum(float(row["cost"]) for row in rows[:-1]))
    assert int(rows[-1]["runs"]) == sum(int(row["runs"]) for row in rows[:-1])


def test_every_trial_is_there_once_and_the_winner_went_through_the_handoff(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = finished
    assert len(list((folder / "trials").iterdir())) == 4
    handoff = json.loads((folder / "handoff.json").read_text())
    assert handoff["winner"] in [item["trial"] for item in handoff["candidates"]]
    assert [item["role"] for item in handoff["candidates"]].count("poor") <= 1


def test_the_final_weight_is_a_multiple_of_the_searched_one(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    handoff = json.loads((folder / "handoff.json").read_text())
    (winner,) = (item for item in handoff["candidates"] if item["trial"] == handoff["winner"])
    (final,) = (folder / "final").iterdir()
    last = read_metrics(final)[-1].metrics["lambda_size"]
    assert last == pytest.approx(2 * winner["params"]["search.weights.lambda_size"])


def test_mlflow_holds_parent_children_and_final_run_as_the_spools_do(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = finished
    database = folder.parent / "mlflow.db"
    names = {str(name): run for run, name in rows(database, "select run_uuid, name from runs")}
    assert {folder.name, "trial-0000", "trial-0003", "final"} <= set(names)
    tags = "select value from tags where key = 'mlflow.parentRunId'"
    assert {value for (value,) in rows(database, tags)} == {names[folder.name]}
    (final,) = (folder / "final").iterdir()
    lines = read_metrics(final)
    stored = rows(
        database,
        f"select step, value from metrics where run_uuid = '{names['final']}' and key = 'mae' order by step",
    )
    assert stored == [(line.step, line.metrics["mae"]) for line in lines]
    params = rows(database, f"select key from params where run_uuid = '{names['trial-0000']}'")
    assert {key for (key,) in params} == {"optimizer.learning_rate", "model.width", "search.weights.lambda_size"}
    for state in rows(database, "select status from runs"):
        assert state[0] in {"FINISHED", "KILLED"}


def test_the_same_command_again_changes_nothing(finished: tuple[Path, dict[str, Any]], outside: Path) -> None:
    folder, printed = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("step-*/model.pt")}
    done = subprocess.run(command(outside, folder.parent), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == printed
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("step-*/model.pt")}


def test_evaluate_and_predict_take_the_experiment(
    finished: tuple[Path, dict[str, Any]], distsys: Call, tmp_path: Path
) -> None:
    folder, printed = finished
    code, out, _ = distsys("evaluate", str(folder), "--json")
    assert code == 0
    assert json.loads(out)["metrics"] == printed["metrics"]
    answer = tmp_path / "answer.json"
    code, out, _ = distsys("predict", "sine", "--checkpoint", str(folder), "--x", "0.5", "-o", str(answer))
    assert code == 0
    assert abs(json.loads(answer.read_text())["y"]) < 2.0
    code, _, err = distsys("predict", "sine", "--checkpoint", str(folder), "--x", "many")
    assert code == 2
    assert "--x" in err


def test_a_second_driver_is_refused(finished: tuple[Path, dict[str, Any]], outside: Path) -> None:
    folder, _ = finished
    with lock(folder / ".lock") as is_held:
        assert is_held
        done = subprocess.run(command(outside, folder.parent), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "another distsys works on" in done.stderr


def test_a_sick_sweep_is_refused_with_its_evidence(outside: Path, tmp_path: Path) -> None:
    sick = ["--preset", "tiny", "--set", "constraints={spread: {min: 50}}"]
    loud = [word for word in command(outside, tmp_path, *sick) if word != "--json"]
    done = subprocess.run(loud, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "search: no trial ended healthy" in done.stderr
    assert "handoff: no candidate ended healthy" in done.stderr
    assert "- spread outside its band" in done.stderr
    assert "fix: train longer" in done.stderr
    assert "handoff: nothing is healthy; nearest to its bands is" in done.stderr
    assert "SICK, not to be used" in done.stdout
    (folder,) = (path for path in tmp_path.iterdir() if path.name.startswith("sine-"))
    assert read_status(folder).status == "stopped"
    assert not (folder / "final").exists()
    assert "Nothing goes on; no candidate ended healthy" in (folder / "report.html").read_text()
    alone = [word if word != "run" else "search" for word in command(outside, tmp_path, *sick)]
    done = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "none of 2 trials ended healthy" in done.stderr


def test_a_driver_killed_in_the_search_loses_nothing(outside: Path, tmp_path: Path) -> None:
    slow = [
        "--set",
        "search.steps=900",
        "--set",
        "search.eval_every_steps=300",
        "--set",
        "search.reduction_factor=null",
    ]
    process = subprocess.Popen(
        command(outside, tmp_path, *slow), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("sine-*/trials/*/outcome.json")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no trial ended"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run(command(outside, tmp_path, *slow), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("sine-*")
    assert sorted(path.name[:4] for path in (folder / "trials").iterdir()) == ["0000", "0001", "0002", "0003"]
    assert all(read_status(path).status == "finished" for path in (folder / "trials").iterdir())
