"""Whole phases in this process: what a NaN, a crash and a band do to trials, and what a person reads of it."""

from __future__ import annotations

import dataclasses
import html
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distsys.domains.protocol import EvalSet, Evaluation
from distsys.errors import StoppedByHealth
from distsys.health.causes import NOT_FINITE
from distsys.pipeline.search import run_search
from distsys.tracking.spool import read_metrics, read_status
from tests.pipeline.support import experiment, local_means

pytestmark = pytest.mark.filterwarnings("ignore:Argument ``multivariate``")
Call = Callable[..., tuple[int, str, str]]
FEW = ("search.trials=2", "search.startup_trials=2", "search.reduction_factor=null")


@pytest.fixture
def sine(outside: Path) -> type:
    """The outside domain's class, as trials find it."""
    kind: type = sys.modules["sine_domain"].Sine if "sine_domain" in sys.modules else __import__("sine_domain").Sine
    return kind


def test_a_nan_ends_a_trial_at_once_and_is_its_cause(
    outside: Path, tmp_path: Path, sine: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sine.evaluate  # type: ignore[attr-defined]

    def broken(self: object, model: object, data: EvalSet) -> Evaluation:
        found: Evaluation = real(self, model, data)
        return dataclasses.replace(found, metrics={**found.metrics, "mae": float("nan")})

    monkeypatch.setattr(sine, "evaluate", broken)
    means, said = local_means()
    found = experiment(outside, tmp_path, *FEW)
    with pytest.raises(StoppedByHealth) as caught:
        run_search(found, means)
    assert "not finite (2 x): mae = nan" in str(caught.value)
    assert "fix: lower optimizer.learning_rate" in str(caught.value)
    for folder in (found.folder / "trials").iterdir():
        assert [line.step for line in read_metrics(folder)] == [20]
        assert [verdict.cause for verdict in read_status(folder).verdicts] == [NOT_FINITE.name]
    assert "2 failed" in said.getvalue()


def test_a_trial_that_ends_by_a_nan_is_sick_however_good_it_was_before(
    outside: Path, tmp_path: Path, sine: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sine.evaluate  # type: ignore[attr-defined]
    calls: list[int] = []

    def later(self: object, model: object, data: EvalSet) -> Evaluation:
        found: Evaluation = real(self, model, data)
        calls.append(1)
        broken = len(calls) % 2 == 0
        return dataclasses.replace(found, metrics={**found.metrics, "mae": float("nan")}) if broken else found

    monkeypatch.setattr(sine, "evaluate", later)
    with pytest.raises(StoppedByHealth, match=r"not finite \(2 x\): mae = nan"):
        run_search(experiment(outside, tmp_path, *FEW), local_means()[0])


def test_a_trial_that_raises_is_counted_by_the_kind_of_its_error(
    outside: Path, tmp_path: Path, sine: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, model: object, data: EvalSet) -> Evaluation:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(sine, "evaluate", broken)
    with pytest.raises(StoppedByHealth, match=r"failed: ZeroDivisionError \(2 x\): division by zero"):
        run_search(experiment(outside, tmp_path, *FEW), local_means()[0])


def test_a_healthy_experiment_runs_to_its_report_and_again(outside: Path, tmp_path: Path, distsys: Call) -> None:
    given = ("run", str(outside / "sine.yaml"), "--space", str(outside / "space.yaml"), "--local", "--out")
    code, out, err = distsys(*given, str(tmp_path), "--set", "search.trials=2", "--json")
    assert (code, err) == (0, "")
    first = json.loads(out)
    assert first["verdicts"] == []
    assert not (tmp_path / "mlflow.db").exists()
    code, out, _ = distsys(*given, str(tmp_path), "--set", "search.trials=2", "--json")
    assert json.loads(out) == first


BAND = "search.constraints={spread: {min: 50}}"
CAUSE, FIX = "spread outside its band", "fix: train longer"


def test_a_sick_search_names_cause_and_fix(outside: Path, tmp_path: Path, distsys: Call) -> None:
    given = [str(outside / "sine.yaml"), "--space", str(outside / "space.yaml"), "--local", "--out", str(tmp_path)]
    code, _, err = distsys("search", *given, "--set", BAND, *(word for item in FEW for word in ("--set", item)))
    assert code == 3
    assert f"{CAUSE} (2 x): spread = " in err
    assert FIX in err
    (folder,) = tmp_path.glob("sine-*")
    assert read_status(folder).status == "stopped"
    assert [(item.cause, item.fix) for item in read_status(folder).verdicts] == [(CAUSE, "train longer")]


def test_a_sick_final_names_cause_and_fix_and_leaves_them_to_trackers(
    outside: Path, tmp_path: Path, distsys: Call
) -> None:
    given = ["train", str(outside / "sine.yaml"), "--local", "--out", str(tmp_path), "--preset", "tiny"]
    code, _, err = distsys(*given, "--set", "constraints={spread: {min: 50}}")
    assert code == 3
    assert f"{CAUSE}: spread = " in err
    assert FIX in err
    (folder,) = tmp_path.glob("sine-train-*")
    assert read_status(folder).status == "stopped"
    assert [(item.cause, item.fix) for item in read_status(folder).verdicts] == [(CAUSE, "train longer")]


def narrow_on_test(sine: type) -> Callable[..., Evaluation]:
    """An evaluation that is sick on the test set alone."""
    real = sine.evaluate  # type: ignore[attr-defined]

    def evaluate(self: object, model: object, data: EvalSet) -> Evaluation:
        found: Evaluation = real(self, model, data)
        is_test = float(data.batches[0]["x"].max()) < 0.98
        return dataclasses.replace(found, metrics={**found.metrics, "spread": 0.01}) if is_test else found

    return evaluate


def test_the_report_of_a_sick_model_names_cause_and_fix(
    outside: Path, tmp_path: Path, distsys: Call, sine: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sine, "evaluate", narrow_on_test(sine))
    given = ["run", str(outside / "sine.yaml"), "--space", str(outside / "space.yaml"), "--local"]
    code, out, _ = distsys(*given, "--out", str(tmp_path), *(word for item in FEW for word in ("--set", item)))
    assert code == 3
    (report,) = tmp_path.glob("sine-*/report.html")
    for text in (out, html.unescape(report.read_text())):
        assert f"{CAUSE}: spread = 0.01, band >= 0.05" in text
        assert FIX in text
    (folder,) = tmp_path.glob("sine-*")
    assert [(item.cause, item.fix) for item in read_status(folder).verdicts] == [(CAUSE, "train longer")]


def test_evaluate_and_predict_name_cause_and_fix_of_a_model_that_is_sick_on_its_test_set(
    outside: Path, tmp_path: Path, distsys: Call, sine: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["train", str(outside / "sine.yaml"), "--local", "--out", str(tmp_path), "--preset", "tiny"]
    monkeypatch.setattr(sine, "evaluate", narrow_on_test(sine))
    code, out, _ = distsys(*given)
    assert code == 3
    (folder,) = tmp_path.glob("sine-train-*")
    for text in (out, distsys("evaluate", str(folder))[1]):
        assert f"- {CAUSE}: spread = 0.01, band >= 0.05" in text
        assert FIX in text
        assert max(len(line) for line in text.splitlines() if "checkpoint" not in line) <= 80
    plain = json.loads(distsys("evaluate", str(folder), "--json")[1])
    assert [(item["cause"], item["fix"]) for item in plain["verdicts"]] == [(CAUSE, "train longer")]
    code, _, err = distsys("predict", "sine", "--checkpoint", str(folder), "--x", "0.5")
    assert code == 0
    assert f"warning: this model is sick: {CAUSE}: spread = 0.01, band >= 0.05; {FIX}" in err


def test_a_sick_checkpoint_that_is_named_itself_stays_sick(outside: Path, tmp_path: Path, distsys: Call) -> None:
    given = ["train", str(outside / "sine.yaml"), "--local", "--out", str(tmp_path), "--preset", "tiny", "--json"]
    checks = "health.checks.constant_outputs={least: 1000000000.0, looks: 1, warn_at: 0, stop_at: 0}"
    code, out, _ = distsys(*given, "--set", checks)
    assert code == 3
    checkpoint = json.loads(out)["checkpoint"]
    code, out, _ = distsys("evaluate", checkpoint, "--json")
    assert code == 3
    assert "constant outputs" in [item["cause"] for item in json.loads(out)["verdicts"]]
    assert distsys("evaluate", str(Path(checkpoint).parents[1]))[0] == 3
