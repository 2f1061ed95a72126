"""Constant outputs, outputs on a bound and outside their range (D5, D4, D23)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distsys.health.causes import CONSTANT_OUTPUT, OUT_OF_BOUNDS, OUTPUT_ON_BOUND
from tests.health.support import found, verdicts_of, with_output


@pytest.mark.parametrize("left", [0.0, 1e-6, 3e-4])
def test_outputs_that_do_not_vary_stop(outside: Path, tmp_path: Path, left: float) -> None:
    domain = with_output(lambda model, x: left * model(x) + model.get_parameter("3.bias"))
    verdicts = verdicts_of(outside, tmp_path, domain=domain)
    assert ("stop", CONSTANT_OUTPUT.name) in found(verdicts)
    verdict = next(item for item in verdicts if item.cause == CONSTANT_OUTPUT.name)
    assert verdict.onset_step == 6
    assert "'out' varies from item to item" in verdict.evidence


@pytest.mark.parametrize("low", [0.002, 0.02])
def test_outputs_on_their_bound(outside: Path, tmp_path: Path, low: float) -> None:
    domain = with_output(lambda model, x: (10 * model(x)).clamp(-low, low) + 0 * model(x))
    assert ("stop", OUTPUT_ON_BOUND.name) in found(verdicts_of(outside, tmp_path, domain=domain))


def test_rectified_outputs_and_targets_on_the_same_bound_are_healthy(outside: Path, tmp_path: Path) -> None:
    domain = with_output(lambda model, x: model(x).relu())
    assert OUTPUT_ON_BOUND.name not in [item.cause for item in verdicts_of(outside, tmp_path, domain=domain)]


@pytest.mark.parametrize(("factor", "status"), [(1.0, ""), (3.0, "stop"), (1e6, "stop")])
def test_outputs_outside_the_range_of_their_field(outside: Path, tmp_path: Path, factor: float, status: str) -> None:
    def forward(model: Any, x: Tensor) -> Tensor:
        found: Tensor = factor * torch.sign(x) + 0.1 * model(x) if factor > 1 else model(x)
        return found

    verdicts = verdicts_of(outside, tmp_path, domain=with_output(forward, name="y"))
    assert [item.status for item in verdicts if item.cause == OUT_OF_BOUNDS.name] == ([status] if status else [])
    if status:
        assert any("outside [-1, 1] V" in item.evidence for item in verdicts)
