"""Where the time of steps goes: every part is told apart, adds up, and begins anew at a validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distsys.tracking.spool import read_metrics
from distsys.training.clock import PARTS, PREFIX, SPEED, Clock, is_timing
from distsys.training.loop import Run, fit
from tests.training.support import make_context


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock on the wall that goes on by hand."""
    now = [100.0]

    def later(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("distsys.training.clock.time.perf_counter", lambda: now[0])
    return later


def test_parts_are_seconds_a_step_and_what_is_between_steps_is_in_none(let_pass: Callable[[float], None]) -> None:
    told = Clock(torch.device("cpu"))
    for data in (1.0, 3.0):
        told.start()
        let_pass(data)
        told.ended("data")
        for _ in range(2):  # two parts of a step
            let_pass(0.25)
            told.ended("forward")
            let_pass(0.5)
            told.ended("backward")
        let_pass(1.5)
        told.ended("optimizer")
        let_pass(7.0)
    expected = {"data": 2.0, "forward": 0.5, "backward": 1.0, "optimizer": 1.5, "wait": 0.0}
    readings = told.readings()
    assert readings.pop(SPEED) == pytest.approx(2 / 24.0)
    assert readings == {f"{PREFIX}{part}": seconds for part, seconds in expected.items()}
    told.begin()
    let_pass(1.0)
    assert set(told.readings().values()) == {0.0}


def test_each_validation_logs_the_parts_of_the_steps_before_it(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    begin = Clock.begin

    def noted(told: Clock) -> None:
        begun.append(getattr(told, "_steps", 0))
        begin(told)

    monkeypatch.setattr(Clock, "begin", noted)
    fit(make_context(outside, tmp_path))
    assert [steps for steps in begun if steps] == [30, 30, 30, 30]
    for line in read_metrics(tmp_path):
        parts = {name: value for name, value in line.metrics.items() if name.startswith(PREFIX)}
        assert parts.keys() == {f"{PREFIX}{part}" for part in PARTS}
        assert all(value > 0.0 for value in parts.values())
        assert sum(parts.values()) < 1.0 / line.metrics[SPEED]


def test_what_is_timing_is_told_by_its_name(outside: Path, tmp_path: Path) -> None:
    extra = Run(make_context(outside, tmp_path)).rehearse().extra
    assert {name for name in extra if is_timing(name)} == {SPEED, *(f"{PREFIX}{part}" for part in PARTS)}
