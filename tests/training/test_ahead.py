"""Steps that a device decides by itself end where those end which the host waits for; tried on the CPU as if on one."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from distsys.errors import Interrupted
from distsys.training import checkpoint
from distsys.training.ahead import LAG
from distsys.training.loop import Run, fit
from distsys.training.outcome import Outcome
from distsys.training.step import Stepper
from tests.training.support import make_context
from tests.training.test_loop import assert_same_weights, nan_after, numbers, weights

OPTIONS = ("optimizer.warmup_share=0.3", "optimizer.grad_clip_norm=0.1", "optimizer.weight_decay=0.01", "seed=3")


class Left:
    """Steps that were left to the device, and how many of them were not counted at a time."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.most_open = 0


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Iterator[Left]:
    """Every run leaves to the device what it may."""
    found, update, build = Left(), Stepper._update_ahead, Stepper.__init__

    def built(stepper: Stepper, *args: Any, **named: Any) -> None:
        build(stepper, *args, **named)
        stepper._runs_ahead = True

    def noted(stepper: Stepper, number: int, *args: Any, **named: Any) -> None:
        update(stepper, number, *args, **named)
        found.steps.append(number)
        found.most_open = max(found.most_open, len(stepper._ahead._open))

    monkeypatch.setattr(Stepper, "__init__", built)
    monkeypatch.setattr(Stepper, "_update_ahead", noted)
    yield found
    monkeypatch.undo()


def broken_run(outside: Path, folder: Path, *options: str, start: int = 10**6, count: int = 2) -> Outcome:
    """A run of which some steps have a NaN."""
    domain = nan_after(make_context(outside, folder.with_suffix(".none")).domain, start=start, count=count)
    return fit(make_context(outside, folder, *OPTIONS, *options, domain=domain))


@pytest.mark.parametrize("health", ["true", "false"])
@pytest.mark.parametrize("start", [10**6, 17, 40, 57])
def test_a_run_that_runs_ahead_is_the_one_that_waits(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Left, start: int, health: str
) -> None:
    broken_run(outside, tmp_path / "ahead", f"health.on={health}", start=start)
    assert len(left.steps) > 20
    assert left.most_open <= LAG
    monkeypatch.undo()
    broken_run(outside, tmp_path / "waits", f"health.on={health}", start=start)
    found, expected = (numbers(tmp_path / name) for name in ("ahead", "waits"))
    assert found == expected
    assert found[-1][1]["skipped_steps"] == (0 if start == 10**6 else 2)
    assert_same_weights(tmp_path / "ahead", tmp_path / "waits", 120)


def test_averaged_weights_pass_over_what_was_skipped(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Left
) -> None:
    broken_run(outside, tmp_path / "ahead", "optimizer.ema_decay=0.9", start=40)
    monkeypatch.undo()
    broken_run(outside, tmp_path / "waits", "optimizer.ema_decay=0.9", start=40)
    found, expected = (weights(tmp_path / name, 120) for name in ("ahead", "waits"))
    assert left.steps
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_signal_saves_a_state_in_which_every_step_is_counted(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Left
) -> None:
    """The last of them is one that was skipped a moment ago."""
    take, norm, at = Run._train_one, Stepper._norm, [0]

    def noted(run: Run) -> Any:
        at[0] = run.step
        return take(run)

    def ended(run: Run) -> Any:
        if run.step == 76:
            os.kill(os.getpid(), signal.SIGTERM)
        return noted(run)

    def broken(stepper: Stepper, total: torch.Tensor) -> torch.Tensor:
        return norm(stepper, total) * (math.nan if at[0] == 75 else 1.0)

    monkeypatch.setattr(Stepper, "_norm", broken)
    monkeypatch.setattr(Run, "_train_one", noted)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_train_one", ended)
        with pytest.raises(Interrupted, match="state of step 77 is saved"):
            fit(make_context(outside, tmp_path / "cut", *OPTIONS))
    assert left.steps[-2:] == [76, 77]
    saved, _ = checkpoint.latest(tmp_path / "cut")
    assert saved is not None
    state = saved.training_state()
    assert (state["stepped"], state["skipped"], state["health"][0]["taken"]) == (76, 1, 76)
    fit(make_context(outside, tmp_path / "cut", *OPTIONS))
    fit(make_context(outside, tmp_path / "whole", *OPTIONS))
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    assert_same_weights(tmp_path / "cut", tmp_path / "whole", 120)


def test_a_run_in_which_every_step_is_skipped_ends_and_names_the_term(
    outside: Path, tmp_path: Path, left: Left
) -> None:
    outcome = broken_run(outside, tmp_path / "ahead", "final.rollbacks=0", start=40, count=10**6)
    assert [(item.status, item.cause) for item in outcome.ended_by] == [("stop", "not finite")]
    assert "terms not finite: mse" in outcome.ended_by[0].evidence
    assert "first parameters hit: 0.weight" in outcome.ended_by[0].evidence
