"""What the optimiser holds, the schedule's position, and the order of unscaling and clipping (D21, D20)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from distsys.health.causes import OTHER_PARAMETERS, SCHEDULE_ORDER, STEP_ORDER
from distsys.training.step import Stepper
from tests.health.support import found, judged, make_run, verdicts_of
from tests.training.support import make_context
from tests.training.test_loop import NanAfter


@pytest.mark.parametrize("replaced", [(3,), (0, 3)])
def test_layers_replaced_after_the_optimiser_was_built(
    outside: Path, tmp_path: Path, replaced: tuple[int, ...]
) -> None:
    run = make_run(outside, tmp_path)
    model: nn.Module = run._stepper.model
    for place in replaced:
        old = model.get_submodule(str(place))
        assert isinstance(old, nn.Linear)
        setattr(model, str(place), nn.Linear(old.in_features, old.out_features))
    verdicts = judged(run)
    status = "stop" if len(replaced) == 2 else "warn"
    assert (status, OTHER_PARAMETERS.name) in found(verdicts)
    (verdict,) = [item for item in verdicts if item.cause == OTHER_PARAMETERS.name]
    assert f"lacks {2 * len(replaced)} of the model's 4" in verdict.evidence
    assert f"holds {2 * len(replaced)} that" in verdict.evidence


def ahead(stepper: Stepper) -> None:
    """The schedule moves before the optimiser."""
    stepper._stepped += 1
    for group in stepper._optimizer.param_groups:
        group["lr"] = stepper.learning_rate
    stepper._optimizer.step()


def twice(stepper: Stepper) -> None:
    for group in stepper._optimizer.param_groups:
        group["lr"] = stepper.learning_rate
    stepper._optimizer.step()
    stepper._stepped += 2


@pytest.mark.parametrize("update", [ahead, twice])
@pytest.mark.parametrize("steps", ["120", "5000"])
def test_a_schedule_ahead_of_the_optimiser_stops(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: object, steps: str
) -> None:
    monkeypatch.setattr(Stepper, "_update", update)
    run = make_run(outside, tmp_path, f"final.steps={steps}", "optimizer.warmup_share=0.1")
    for _ in range(64):
        run._train_one()
    assert found(run._monitor.verdicts) == [("stop", SCHEDULE_ORDER.name)]
    assert "where the schedule says" in run._monitor.verdicts[0].evidence


def test_skipped_steps_are_no_alarm_of_the_schedule(outside: Path, tmp_path: Path) -> None:
    domain = NanAfter(make_context(outside, tmp_path / "a").domain, start=2, count=3)
    causes = [item.cause for item in verdicts_of(outside, tmp_path / "b", domain=domain)]
    assert causes == ["not finite"]


@pytest.mark.parametrize("factor", [1 / 1024, 1 / 2, 16.0])
def test_a_gradient_that_is_scaled_behind_the_loss_stops(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    original = Stepper._clip

    def clip(stepper: Stepper, norm: float) -> None:
        original(stepper, norm)
        torch._foreach_mul_([item.grad for item in stepper.model.parameters() if item.grad is not None], factor)

    monkeypatch.setattr(Stepper, "_clip", clip)
    (verdict,) = verdicts_of(outside, tmp_path, "optimizer.grad_clip_norm=0.1", "final.steps=60")
    assert (verdict.status, verdict.cause, verdict.onset_step) == ("stop", STEP_ORDER.name, 1)
    assert "clipped to 0.1" in verdict.evidence


@pytest.mark.parametrize("limit", ["null", "1e-3", "0.1", "100.0"])
def test_clipping_is_healthy(outside: Path, tmp_path: Path, limit: str) -> None:
    assert verdicts_of(outside, tmp_path, f"optimizer.grad_clip_norm={limit}", "final.steps=60") == []
