"""Where the winner ends sick: the next candidate, and if nothing is healthy the nearest checkpoint, named and sick."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import distsys.pipeline.run as phases
from distsys.domains.protocol import EvalSet, Evaluation
from distsys.pipeline import final
from distsys.tracking.spool import read_status

Call = Callable[..., tuple[int, str, str]]
SETTINGS = ("search.trials=3", "search.startup_trials=3", "search.reduction_factor=null", "handoff.top_k=2")
CAUSE = "spread outside its band"


def ran(distsys: Call, outside: Path, root: Path, *more: str) -> tuple[int, str, str]:
    given = ["run", str(outside / "sine.yaml"), "--space", str(outside / "space.yaml"), "--local", "--out", str(root)]
    return distsys(*given, *(word for item in (*SETTINGS, *more) for word in ("--set", item)))


def test_the_next_candidate_is_trained_where_the_winner_ends_sick(
    outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    sine: Any = sys.modules.get("sine_domain") or __import__("sine_domain")
    evaluate, train = sine.Sine.evaluate, final.train
    finals: list[Any] = []
    under_way: list[Any] = []

    def noted(spec: Any, *arguments: Any, **named: Any) -> Any:
        finals.append(spec)
        under_way.append(spec)
        try:
            return train(spec, *arguments, **named)
        finally:
            under_way.pop()

    def sick_in_the_first(self: Any, model: Any, data: EvalSet) -> Evaluation:
        found: Evaluation = evaluate(self, model, data)
        is_first = bool(under_way) and len(finals) == 1
        return dataclasses.replace(found, metrics={**found.metrics, "spread": 0.01}) if is_first else found

    monkeypatch.setattr(phases, "train", noted)
    monkeypatch.setattr(sine.Sine, "evaluate", sick_in_the_first)
    code, _, err = ran(distsys, outside, tmp_path)
    assert code == 0
    (folder,) = tmp_path.glob("sine-*")
    handoff = json.loads((folder / "handoff.json").read_text())
    assert len(finals) == 2
    numbers = [line.split()[2].rstrip(",") for line in err.splitlines() if line.startswith("final: trial ")]
    assert numbers[0] == str(handoff["winner"])
    assert numbers[1] != numbers[0]
    assert f"final: no checkpoint is healthy\n- {CAUSE}: spread = 0.01, band >= 0.05\n  fix: train longer" in err
    states = sorted(read_status(path).status for path in (folder / "final").iterdir())
    assert states == ["finished", "stopped"]
    assert distsys("evaluate", str(folder))[0] == 0


def test_where_nothing_is_healthy_the_nearest_is_named_reported_and_stays_sick(
    outside: Path, tmp_path: Path, distsys: Call
) -> None:
    sick = ("constraints={spread: {min: 50}}", "search.constraints={spread: {min: 0}}")
    code, out, err = ran(distsys, outside, tmp_path, *sick)
    assert code == 3
    (folder,) = tmp_path.glob("sine-*")
    assert len(list((folder / "final").iterdir())) == 2
    assert "final: nothing is healthy; nearest to its bands is" in err
    assert re.search(r"- spread = 0\.\d+, band >= 50: 49\.\d outside", err)
    assert "outside by" in (folder / "report.html").read_text()
    assert f"- {CAUSE}: spread = " in out
    assert (folder / "report.html").is_file()
    content = json.loads((folder / "evaluation.json").read_text())
    assert CAUSE in [item["cause"] for item in content["verdicts"]]
    assert Path(content["checkpoint"]).is_dir()
    for command in (("evaluate", str(folder)), ("predict", "sine", "--checkpoint", str(folder), "--x", "1")):
        code, _, err = distsys(*command)
        assert code == 3
        assert "no checkpoint is healthy" in err
        assert f"{CAUSE}: spread = " in err
        assert "fix: train longer" in " ".join(err.split())
    code, out, _ = distsys("evaluate", str(folder), "--json")
    assert [item["cause"] for item in json.loads(out)["verdicts"]] == [CAUSE]
    code, _, err = distsys("predict", "sine", "--checkpoint", content["checkpoint"], "--x", "1")
    assert code == 0
    assert f"warning: this model is sick: {CAUSE}" in err


def broken_after(monkeypatch: pytest.MonkeyPatch, *, step: int) -> None:
    """Of final trainings no gradient is finite after ``step``, however often they begin anew."""
    from distsys.training.step import Stepper

    take, norm = Stepper.step, Stepper._norm

    def noted(stepper: Any, batch: Any, *, progress: float, seed: int) -> None:
        stepper.done = round(progress * stepper._steps)
        take(stepper, batch, progress=progress, seed=seed)

    def broken(stepper: Any, total: torch.Tensor) -> torch.Tensor:
        return torch.tensor(math.nan) if stepper._steps == 120 and stepper.done >= step else norm(stepper, total)

    monkeypatch.setattr(Stepper, "step", noted)
    monkeypatch.setattr(Stepper, "_norm", broken)


def test_where_every_final_turns_sick_the_best_from_before_stands_and_is_said_to(
    outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_after(monkeypatch, step=70)
    code, out, err = ran(distsys, outside, tmp_path)
    assert code == 0
    (folder,) = tmp_path.glob("sine-*")
    finals = sorted((folder / "final").iterdir())
    assert len(finals) == 2
    assert err.count("went back to step 60, the last healthy checkpoint, with fresh moments") == 2
    assert len(re.findall(r"sick again at step 76 \(not finite\): ended there; step \d+, from before, stays", err)) == 2
    assert err.count("fix: lower optimizer.learning_rate") == 2
    assert "final: none ended in health" in err
    assert {read_status(path).status for path in finals} == {"stopped"}
    assert {read_status(path).verdicts[0].cause for path in finals} == {"not finite"}
    content = json.loads((folder / "evaluation.json").read_text())
    values = {str(path): json.loads((path / "outcome.json").read_text())["selection"]["best"] for path in finals}
    best = min(values, key=lambda path: float(values[path]["value"]))
    assert content["checkpoint"].startswith(best)
    assert content["checkpoint"] in out
    report = (folder / "report.html").read_text()
    assert "went back to step 60" in report
    assert "lower optimizer.learning_rate" in report
    assert json.loads(distsys("evaluate", str(folder), "--json")[1])["checkpoint"] == content["checkpoint"]
    again = ran(distsys, outside, tmp_path, "final.rollbacks=1")
    assert (again[0], again[1]) == (0, out)


def test_switched_off_the_next_candidate_is_tried_at_once(
    outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_after(monkeypatch, step=70)
    code, _, err = ran(distsys, outside, tmp_path, "final.rollbacks=0")
    assert code == 0
    assert "went back" not in err
    assert len(re.findall(r"sick at step 76 \(not finite\): ended there; step \d+, from before, stays", err)) == 2


def test_a_training_that_was_stopped_before_its_first_validation_is_not_asked_for_again(
    outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_after(monkeypatch, step=5)
    code, _, err = distsys("train", str(outside / "sine.yaml"), "--local", "--out", str(tmp_path))
    assert code == 3
    assert "7 steps had a gradient that is not finite (budget 6)" in err
    (folder,) = tmp_path.glob("sine-train-*")
    code, _, err = distsys("evaluate", str(folder))
    assert code == 2
    assert f"{folder}: stopped before there was a checkpoint to choose from: 7 steps had a gradient" in err
    assert "fix: mend what that names, then the command that made it again" in err


def test_what_is_found_late_or_elsewhere_is_warned_of_where_a_checkpoint_is_named(
    outside: Path, tmp_path: Path, distsys: Call
) -> None:
    code, out, _ = distsys("train", str(outside / "sine.yaml"), "--local", "--out", str(tmp_path / "runs"), "--json")
    assert code == 0
    checkpoint = Path(json.loads(out)["checkpoint"])
    folder, asked = checkpoint.parents[1], ("predict", "sine", "--x", "1", "--checkpoint")
    assert distsys(*asked, str(checkpoint))[2] == ""
    evaluation = json.loads((folder / "evaluation.json").read_text())
    sick = {"status": "stop", "cause": CAUSE, "evidence": "spread = 0.01", "onset_step": 1, "fix": "train longer"}
    (folder / "evaluation.json").write_text(json.dumps({**evaluation, "verdicts": [sick]}))
    moved = folder.rename(tmp_path / "moved")
    there = moved / checkpoint.relative_to(folder)
    assert f"warning: this model is sick: {CAUSE}: spread = 0.01; fix: train longer" in distsys(*asked, str(there))[2]
    (moved / "evaluation.json").unlink()
    assert distsys(*asked, str(there))[2] == ""
    outcome = json.loads((moved / "outcome.json").read_text())
    step = outcome["selection"]["best"]["step"]
    for onset, warned in ((step + 1, False), (step, True)):
        outcome["selection"]["last"]["verdicts"] = [{**sick, "onset_step": onset}]
        (moved / "outcome.json").write_text(json.dumps(outcome))
        assert (f"warning: this model is sick: {CAUSE}" in distsys(*asked, str(there))[2]) == warned
