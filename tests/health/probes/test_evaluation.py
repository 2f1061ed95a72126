"""Evaluation and sampling: every defect at several strengths, and its healthy twin."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distsys.domains.protocol import EvalSet, Evaluation
from distsys.health.probes.evaluation import evaluation_works, losses_agree
from distsys.health.probes.sampling import sampling_matches_training
from distsys.health.verdict import Constraint, Verdict
from distsys.specs import Generation
from tests.health.probes.support import Batch, data, found, model_of, patient, sine, terms

COUNTER = itertools.count()


def evaluation(change: Callable[[Evaluation, nn.Module], Evaluation]) -> Callable[[nn.Module, EvalSet], Evaluation]:
    """``evaluate`` whose result is changed."""

    def evaluate(model: nn.Module, frozen: EvalSet) -> Evaluation:
        return change(sine().evaluate(model, frozen), model)

    return evaluate


@pytest.mark.parametrize("size", [1e-6, 0.1])
def test_an_evaluation_that_does_not_repeat_itself_stops(outside: Path, size: float) -> None:
    def drawn(result: Evaluation, model: nn.Module) -> Evaluation:
        drift = size * next(COUNTER)
        return Evaluation({**result.metrics, "mae": result.metrics["mae"] + drift}, result.items + drift)

    (verdict,) = found(evaluation_works, outside, evaluate=evaluation(drawn))
    assert (verdict.status, verdict.cause) == ("stop", "evaluation is not repeatable")
    assert "has mae = " in verdict.evidence


def test_dropout_that_stays_on_in_evaluation_is_repeatable_only_by_its_seed(outside: Path) -> None:
    assert found(evaluation_works, outside, "model.dropout=0.5") == []


@pytest.mark.parametrize("error", [AssertionError("training only"), ValueError("shape"), RuntimeError("device")])
def test_an_evaluation_that_raises_stops(outside: Path, error: Exception) -> None:
    def raising(result: Evaluation, model: nn.Module) -> Evaluation:
        raise error

    (verdict,) = found(evaluation_works, outside, evaluate=evaluation(raising))
    assert (verdict.status, verdict.cause) == ("stop", "evaluation fails")
    assert verdict.evidence == f"evaluation raised {type(error).__name__}: {error}"


def test_an_assertion_on_the_mode_stops_before_the_first_validation(outside: Path) -> None:
    def forward(model: nn.Module, batch: Batch, *, generator: torch.Generator) -> dict[str, Tensor]:
        assert model.training, "training alone"
        return {"out": model(batch["x"])}

    (verdict,) = found(evaluation_works, outside, forward=forward)
    assert (verdict.status, verdict.cause) == ("stop", "evaluation fails")
    assert verdict.evidence == "evaluation raised AssertionError: training alone"


@pytest.mark.parametrize("items", [3, 12])
def test_few_items_are_a_warning(outside: Path, items: int) -> None:
    made = data(lambda batch, indices: batch, items=items)
    (verdict,) = found(evaluation_works, outside, build_data=made)
    assert (verdict.status, verdict.cause) == ("warn", "evaluation noise exceeds what is decided by it")
    assert verdict.evidence.startswith(f"{items} items: mae has a standard error of ")


def test_enough_items_are_healthy(outside: Path) -> None:
    assert found(evaluation_works, outside, build_data=data(lambda batch, indices: batch, items=16)) == []


class Aware(nn.Module):
    """A network that says something else in training."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = nn.Linear(1, 1), factor

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        return out * self.factor if self.training else out


@pytest.mark.parametrize(("factor", "healthy"), [(1.01, False), (2.0, False), (1.0, True)])
def test_a_loss_that_is_another_one_in_training(outside: Path, factor: float, healthy: bool) -> None:
    verdicts = found(losses_agree, outside, build_model=model_of(lambda width: Aware(factor)))
    assert [(item.status, item.cause) for item in verdicts] == (
        [] if healthy else [("warn", "training and validation weigh differently")]
    )


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.01])
def test_a_term_that_weighs_less_without_gradients(outside: Path, factor: float) -> None:
    def mse(out: Tensor, batch: Batch) -> Tensor:
        error = (out - batch["y"]).square().mean()
        return error if torch.is_grad_enabled() else factor * error

    (verdict,) = found(losses_agree, outside, loss_terms=terms(mse=mse))
    assert (verdict.status, verdict.cause) == ("warn", "training and validation weigh differently")


def test_dropout_batch_statistics_and_drawn_codes_are_healthy(outside: Path) -> None:
    normed = model_of(lambda width: nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)))
    assert found(losses_agree, outside, build_model=normed) == []

    def drawn(model: nn.Module, batch: Batch, *, generator: torch.Generator) -> dict[str, Tensor]:
        out = model(batch["x"])
        noise = torch.randn(out.shape, generator=generator)
        return {"out": out + noise if model.training else out}

    assert found(losses_agree, outside, forward=drawn) == []


LEVELS = torch.logspace(-2, 2, 1000)


def generating(outside: Path, generation: Generation, *constraints: Constraint) -> list[Verdict]:
    who = replace(patient(outside), generation=lambda model, batch: generation, constraints=constraints)
    return sampling_matches_training(who)


@pytest.mark.parametrize(
    ("low", "high", "status"), [(1e-2, 1e2, ""), (0.02, 50, ""), (1e-2, 400, "warn"), (300, 4000, "stop")]
)
def test_noise_levels_that_training_never_saw(outside: Path, low: float, high: float, status: str) -> None:
    visited = torch.logspace(np.log10(low), np.log10(high), 12)
    verdicts = generating(outside, Generation(LEVELS, visited, 0.5, 0.5, {}))
    assert [item.status for item in verdicts] == ([status] if status else [])
    assert all(item.cause == "sampling visits noise levels that training never saw" for item in verdicts)


@pytest.mark.parametrize(("measured", "status"), [(0.5, ""), (0.3, ""), (0.1, "warn"), (5e-4, "stop"), (50.0, "stop")])
def test_a_scale_that_is_not_that_of_the_data(outside: Path, measured: float, status: str) -> None:
    verdicts = generating(outside, Generation(LEVELS, LEVELS, 0.5, measured, {}))
    assert [(item.status, item.cause) for item in verdicts] == (
        [(status, "noise far from the signal's level")] if status else []
    )


@pytest.mark.parametrize(("value", "healthy"), [(1e-6, True), (0.05, True), (0.2, False), (float("nan"), False)])
def test_a_constraint_that_samples_do_not_keep(outside: Path, value: float, healthy: bool) -> None:
    generation = Generation(torch.empty(0), torch.empty(0), 0.0, 0.0, {"error": value, "unknown": 7.0})
    verdicts = generating(outside, generation, Constraint("error", high=0.05))
    assert [(item.status, item.cause) for item in verdicts] == (
        [] if healthy else [("stop", "a constraint holds in training alone")]
    )


def test_a_domain_that_generates_nothing_is_not_asked(outside: Path) -> None:
    assert found(sampling_matches_training, outside, loss_terms=terms()) == []
