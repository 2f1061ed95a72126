"""``distsys doctor --run``: runs that ended, our own, MLflow's and tables, from the command line."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distsys.health import causes
from tests.health.curves.simulation import cosine, decaying, rising

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trained(distsys: Call, tmp_path: Path) -> Path:
    """A run of the outside domain, made by the command."""
    given = ["train", "{outside}/sine.yaml", "--local", "--out", "{tmp}/runs"]
    assert distsys(*given, "--set", "final.steps=480", "--set", "final.eval_every_steps=40")[0] == 0
    (folder,) = (tmp_path / "runs").glob("sine-train-*")
    return folder


def change(folder: Path, alter: Callable[[int, dict[str, float]], None]) -> None:
    """Each line of the run's metrics as ``alter`` leaves it."""
    path = folder / "metrics.jsonl"
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    for line in lines:
        alter(line["step"], line["metrics"])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def verdicts(distsys: Call, place: Path | str, *more: str) -> tuple[int, list[Any]]:
    code, out, err = distsys("doctor", "--run", str(place), "--out", "{tmp}/runs", "--json", *more)
    assert err == ""
    (found,) = json.loads(out)
    return code, found["verdicts"]


def test_a_healthy_run_of_ours_is_one_line(distsys: Call, trained: Path) -> None:
    code, out, err = distsys("doctor", "--run", trained.name, "--out", "{tmp}/runs")
    assert (code, err) == (0, "")
    assert out == f"doctor: run {trained.name}: 22 curves, 264 points: no cause found\n"
    assert verdicts(distsys, trained) == (0, [])


def test_an_experiment_is_judged_by_its_final_training(distsys: Call, tmp_path: Path) -> None:
    given = ["run", "{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--local", "--out", "{tmp}/runs"]
    assert distsys(*given, "--set", "search.trials=2", "--no-doctor")[0] == 0
    (folder,) = (tmp_path / "runs").glob("sine-*")
    (final,) = (folder / "final").iterdir()
    code, out, _ = distsys("doctor", "--run", str(folder))
    assert code == 0
    assert out.startswith(f"doctor: run {final.name}: 22 curves, 88 points: no cause found")


def test_what_its_evaluation_says_of_an_experiment_and_which_final_it_took(distsys: Call, tmp_path: Path) -> None:
    given = ["run", "{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--local", "--out", "{tmp}/runs"]
    assert distsys(*given, "--set", "search.trials=2", "--no-doctor")[0] == 0
    (folder,) = (tmp_path / "runs").glob("sine-*")
    (final,) = (folder / "final").iterdir()
    other = shutil.copytree(final, final.with_name("another"))
    outcome = json.loads((other / "outcome.json").read_text())
    outcome["ended_by"] = [{"status": "stop", "cause": "not finite", "evidence": "", "onset_step": 0, "fix": ""}]
    outcome["selection"]["best"] = None
    (other / "outcome.json").write_text(json.dumps(outcome))
    code, out, _ = distsys("doctor", "--run", str(folder))
    assert code == 0  # a candidate that ended sick was not taken
    assert f"note: the experiment chose {final.name}" in " ".join(out.split())
    assert "stop from step 0, not finite" in " ".join(out.split())
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation["verdicts"] = [{**outcome["ended_by"][0], "cause": "worse than a trivial baseline"}]
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    code, out, _ = distsys("doctor", "--run", str(folder))
    assert code == 3
    assert "worse than a trivial baseline" in " ".join(out.split())


def test_a_run_that_died_before_its_first_validation_is_judged_by_its_status(distsys: Call, trained: Path) -> None:
    (trained / "metrics.jsonl").unlink()
    status = json.loads((trained / "status.json").read_text())
    lost = {"status": "stop", "cause": "not finite", "evidence": "7 steps", "onset_step": 3, "fix": ""}
    (trained / "status.json").write_text(json.dumps({**status, "status": "failed", "verdicts": [lost]}))
    code, out, err = distsys("doctor", "--run", str(trained))
    assert (code, err) == (3, "")
    assert "stop from step 3, not finite: 7 steps" in " ".join(out.split())
    assert "no validation was made" in " ".join(out.split())


def test_a_few_points_are_too_short_to_judge(distsys: Call, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,val_loss\n1,3.0\n2,2.0\n3,1.0\n")
    code, out, _ = distsys("doctor", "--run", str(tmp_path / "log.csv"))
    assert code == 0
    assert out.endswith("too short to judge (under 8 points)\n")


def test_a_declared_bound_and_the_onset_are_named(distsys: Call, trained: Path) -> None:
    change(trained, lambda step, metrics: metrics.update({"term/size": 0.5 - step / 400}))
    code, found = verdicts(distsys, trained)
    assert code == 3
    assert (found[0]["status"], found[0]["cause"], found[0]["onset_step"]) == ("stop", causes.UNBOUNDED_TERM.name, 240)
    assert "term/size = -0.7 at step 480, declared lower bound 0" in found[0]["evidence"]


def test_a_rate_that_is_not_the_schedules_is_named(distsys: Call, trained: Path) -> None:
    def late(step: int, metrics: dict[str, float]) -> None:
        metrics["learning_rate"] = 1e-2 * float(cosine(np.array((step - 40) / 480)))

    change(trained, late)
    code, found = verdicts(distsys, trained)
    assert (code, [item["cause"] for item in found]) == (0, [causes.SCHEDULE_ORDER.name])
    assert "at step 40, where the schedule says" in found[0]["evidence"]


def test_a_skipped_step_that_the_schedule_knows_of_is_no_alarm(distsys: Call, trained: Path) -> None:
    def skipping(step: int, metrics: dict[str, float]) -> None:
        metrics["skipped_steps"] = 3.0
        metrics["learning_rate"] = 1e-2 * float(cosine(np.array((step - 3) / 480)))

    change(trained, skipping)
    assert verdicts(distsys, trained) == (0, [])


def test_a_choice_outside_its_band_stops(distsys: Call, tmp_path: Path) -> None:
    given = ["train", "{outside}/sine.yaml", "--local", "--out", "{tmp}/runs", "--preset", "tiny"]
    assert distsys(*given, "--set", "constraints={spread: {min: 50}}")[0] == 3
    (folder,) = (tmp_path / "runs").glob("sine-train-*")
    code, found = verdicts(distsys, folder)
    assert code == 3
    assert (found[0]["cause"], found[0]["fix"]) == ("spread outside its band", "train longer")
    text = distsys("doctor", "--run", str(folder))[1]
    assert "stop  from step" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_run_whose_domain_is_gone_is_read_by_its_names(distsys: Call, trained: Path) -> None:
    outcome = trained / "outcome.json"
    outcome.write_text(outcome.read_text().replace('"domain": "sine"', '"domain": "gone"'))
    change(trained, lambda step, metrics: metrics.update(loss=math.nan if step > 80 else 1 / step))
    code, out, _ = distsys("doctor", "--run", str(trained))
    assert code == 3
    assert "loss is nan from step 120 to the end" in " ".join(out.split())
    assert "note: nothing is declared of this run: unknown domain 'gone'" in " ".join(out.split())


def table(folder: Path, **columns: np.ndarray) -> Path:
    path = folder / "log.csv"
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(f"{value:.6g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


STEPS = np.arange(50)
LOSSES = {"train_loss": decaying(STEPS, 2.0, 0.5), "val_loss": decaying(STEPS, 2.0, 0.6)}


def test_a_healthy_table_is_one_line(distsys: Call, tmp_path: Path) -> None:
    path = table(tmp_path, epoch=STEPS, **LOSSES, lr=1e-3 * cosine(STEPS / 50), val_ratio=STEPS / 50)
    code, out, err = distsys("doctor", "--run", str(path))
    assert (code, err) == (0, "")
    assert out == "doctor: run log.csv: 4 curves (1 of unknown meaning), 200 points: no cause found\n"


def test_a_table_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = table(tmp_path, epoch=STEPS, **LOSSES)
    absent = ["torch", "ray", "mlflow", "optuna", "matplotlib", "scipy"]
    start = f"import sys; sys.modules.update(dict.fromkeys({absent})); from distsys.cli import main"
    code = f"{start}; sys.exit(main(['doctor', '--run', {str(path)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no cause found" in done.stdout


def test_a_guess_is_said_to_be_one_and_may_be_replaced(distsys: Call, tmp_path: Path) -> None:
    late = rising(STEPS, 0.2, 0.9, 8) - 0.01 * np.maximum(STEPS - 20, 0)
    path = table(tmp_path, epoch=STEPS, **LOSSES, val_acc=late, quality=rising(STEPS, 0.0, 1.0))
    code, out, _ = distsys("doctor", "--run", str(path))
    text = " ".join(out.split())
    assert code == 0
    assert "warn from step 49, loss and metric disagree: val_loss is least at step 49" in text
    assert "guessed from names which way metrics are better: val_acc (max); --metric NAME:max says it" in text
    assert max(map(len, out.splitlines())) <= 80
    assert verdicts(distsys, path, "--metric", "quality:max") == (0, [])
    turned = verdicts(distsys, path, "--metric", "quality:min")[1]
    assert [item["cause"] for item in turned] == [causes.LOSS_AGAINST_METRIC.name]


def test_a_run_in_mlflow_is_found_by_its_id(distsys: Call, tmp_path: Path) -> None:
    run = tmp_path / "mlruns" / "0" / "abc123"
    (run / "metrics").mkdir(parents=True)
    (run / "meta.yaml").write_text("")
    lines = [
        f"{1000 + step} {value} {step}\n" for step, value in enumerate([*decaying(STEPS, 2.0, 0.5), *[math.nan] * 9])
    ]
    (run / "metrics" / "train_loss").write_text("".join(lines))
    for place, more in [("abc123", ("--tracking", str(tmp_path / "mlruns"))), (str(run), ())]:
        code, found = verdicts(distsys, place, *more)
        assert (code, found[0]["cause"], found[0]["onset_step"]) == (3, causes.NOT_FINITE.name, 50)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["neither CONFIG nor --run", "distsys doctor --run RUN"]),
        (["{outside}/sine.yaml", "--run", "x"], ["both CONFIG (", "and --run x", "one of the two"]),
        (["--run", "x", "--set", "seed=1"], ["--set with --run"]),
        (["--run", "x", "--preset", "demo"], ["--preset with --run"]),
        (["{outside}/sine.yaml", "--metric", "mae:min"], ["--metric without --run"]),
        (["--run", "{tmp}/none"], ["no such file or folder", "--tracking"]),
        (["--run", "{tmp}"], ["a folder without a run", "metrics.jsonl"]),
        (["--run", "0123456789abcdef0123456789abcdef"], ["no such file or folder"]),
        (["--run", "{tmp}/log.csv", "--metric", "val_los"], ["no such curve", "did you mean 'val_loss'?"]),
        (["--run", "{tmp}/log.csv", "--metric", "quality"], ["does not say which way", "quality:max or :min"]),
    ],
)
def test_wrong_usage_is_refused(
    distsys: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where no store of earlier runs is found
    table(tmp_path, epoch=STEPS, **LOSSES, quality=STEPS * 1.0)
    code, out, err = distsys("doctor", *given)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    for text in expected:
        assert text in err
