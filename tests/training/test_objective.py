"""Weights: one place, schedules by hand values, and the same in training and validation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distsys.config.schema import Schedule
from distsys.domains.protocol import TermSpec
from distsys.training.evaluate import mean_terms, validate
from distsys.training.judge import Judge
from distsys.training.loop import Run
from distsys.training.objective import Objective
from distsys.training.optimizer import learning_rate_factor
from tests.training.support import make_context, make_spec

TERMS = (TermSpec("a", "1", 0.0), TermSpec("b", "1", 0.0))


def objective(a: object, b: object) -> Objective:
    return Objective(TERMS, {"lambda_a": Schedule.model_validate(a), "lambda_b": Schedule.model_validate(b)})


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"to": 0.3}, [0.3, 0.3, 0.3, 0.3]),
        ({"from": 0.1, "to": 0.5, "over": 0.5}, [0.1, 0.3, 0.5, 0.5]),
        ({"to": 0.5, "start_at": 0.5}, [0.0, 0.0, 0.5, 0.5]),
        ({"from": 1.0, "to": 0.0, "start_at": 0.25, "over": 0.5}, [1.0, 1.0, 0.5, 0.0]),
    ],
)
def test_schedules_by_hand(schedule: dict[str, float], expected: list[float]) -> None:
    found = [Schedule.model_validate(schedule).at(progress) for progress in (0.0, 0.25, 0.5, 1.0)]
    assert found == pytest.approx(expected)


def test_a_relative_weight_begins_where_the_search_ended() -> None:
    ramp = Schedule.model_validate({"times": 4.0, "over": 0.5}).resolved(Schedule.model_validate({"to": 0.05}))
    assert [ramp.at(progress) for progress in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.05, 0.125, 0.2, 0.2])


def test_the_total_is_the_weighted_sum() -> None:
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(10.0)}
    assert objective({"to": 0.5}, {"from": 0.0, "to": 1.0, "over": 1.0}).total(terms, 0.3) == pytest.approx(4.0)


def test_a_missing_or_unknown_term_is_a_programming_error() -> None:
    with pytest.raises(AssertionError, match="terms"):
        objective({"to": 1.0}, {"to": 1.0}).total({"a": torch.tensor(1.0)}, 0.0)


def test_gradient_shares_by_hand() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    terms = {"a": 3.0 * x[0], "b": 4.0 * x[1]}
    shares = objective({"to": 1.0}, {"to": 1.5}).gradient_shares(terms, [x], 0.0)
    assert shares == pytest.approx({"a": 3.0 / 9.0, "b": 6.0 / 9.0})
    assert x.grad is None


def test_training_and_validation_weigh_the_same_batch_alike(outside: Path, tmp_path: Path) -> None:
    run = Run(make_context(outside, tmp_path, "final.weights.lambda_size=0.5"))
    data = run.data.validation
    found = validate(
        run._domain,
        run._stepper.model,
        data,
        config=run._spec.config,
        objective=run._objective,
        judge=Judge(run._domain.selection),
        step=0,
        progress=0.0,
    )
    batch = data.batches[0]
    outputs = run._domain.forward(run._stepper.model.eval(), batch, generator=torch.Generator())
    terms = run._domain.loss_terms(outputs, batch, config=run._spec.config)
    expected = float(terms["mse"].detach()) + 0.5 * float(terms["size"].detach())
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert found.weights == {"lambda_mse": 1.0, "lambda_size": 0.5}
    raw = mean_terms(run._domain, run._stepper.model, data, config=run._spec.config, seed=0)
    assert found.terms["size"] == pytest.approx(float(raw["size"]))


def test_the_learning_rate_warms_up_and_ends_at_zero(outside: Path) -> None:
    config = make_spec(outside, "optimizer.warmup_share=0.1")[0].config.optimizer
    factors = [learning_rate_factor(config, 100, step) for step in (0, 9, 10, 55, 100)]
    assert factors == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0], abs=1e-12)
