"""One kind of column with all of the gradient (D22, D24), and what may look like it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distsys.config import reuse
from distsys.health.causes import ONE_COLUMN
from distsys.health.columns import alone, by_kind, errors
from distsys.health.flight.columns import OneColumn
from distsys.health.verdict import Verdict
from distsys.specs import FieldSpec
from tests.health.probes.support import Batch, data, noise_of
from tests.health.support import Altered, bare_view, found, judged, make_run, verdicts_of

KINDS = ("gain", "freq", "freq", "q")
X = FieldSpec("x", "input", "1", -1.0, 1.0)


def table(size: float, *, columns: tuple[str, ...] = KINDS, loss: Any = None) -> Altered:
    """The sine with four targets, of which two are ``size`` times the others."""

    def wide(batch: dict[str, Tensor], indices: Any) -> Batch:
        return {**batch, "y": batch["y"] * torch.tensor([[1.0, size, -size, 0.5]])}

    def loss_terms(original: Any, outputs: Any, batch: Any, *, config: Any) -> Any:
        return original({"out": outputs["y"]}, batch, config=config) if loss is None else loss(outputs, batch)

    reuse.forget()
    made = data(wide)
    return Altered(
        build_data=lambda original, config, *, seed: made(config, seed=seed),
        build_model=lambda original, config, statistics: nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 4)),
        forward=lambda original, model, batch, *, generator: {"y": model(batch["x"])},
        loss_terms=loss_terms,
        fields=(X, FieldSpec("y", "target", "V", columns=columns)),
    )


def one_column(verdicts: list[Verdict]) -> list[Verdict]:
    return [item for item in verdicts if item.cause == ONE_COLUMN.name]


@pytest.mark.parametrize("size", [300.0, 2e4, 1e7])
def test_a_kind_in_other_units_takes_all_of_the_gradient(outside: Path, tmp_path: Path, size: float) -> None:
    (verdict,) = one_column(verdicts_of(outside, tmp_path, domain=table(size)))
    assert verdict.onset_step == 6
    assert "'freq' has " in verdict.evidence
    assert "% of the squared gradient norm of 'y', and the error of '" in verdict.evidence


@pytest.mark.parametrize("size", [1.0, 5.0])
def test_kinds_of_one_scale_are_healthy(outside: Path, tmp_path: Path, size: float) -> None:
    assert verdicts_of(outside, tmp_path, domain=table(size)) == []


def test_places_that_nobody_declared_are_samples_of_a_signal(outside: Path, tmp_path: Path) -> None:
    assert one_column(verdicts_of(outside, tmp_path, domain=table(2e4, columns=()))) == []


def test_columns_that_are_not_those_of_the_field_break_nothing(outside: Path, tmp_path: Path) -> None:
    assert one_column(verdicts_of(outside, tmp_path, domain=table(2e4, columns=("a", "b", "c")))) == []


def test_classes_are_not_columns_of_which_one_is_alone(outside: Path, tmp_path: Path) -> None:
    def classes(outputs: Any, batch: Any) -> dict[str, Tensor]:
        which = (batch["y"][:, 0] > 0).long() + 2 * (batch["x"][:, 0] > 0).long()
        return {"mse": nn.functional.cross_entropy(outputs["y"], which), "size": outputs["y"].square().mean()}

    assert one_column(verdicts_of(outside, tmp_path, domain=table(1.0, columns=tuple("abcd"), loss=classes))) == []


def test_a_run_that_is_cut_says_the_same(outside: Path, tmp_path: Path) -> None:
    expected = judged(make_run(outside, tmp_path / "whole", domain=table(2e4)))
    cut = make_run(outside, tmp_path / "cut", domain=table(2e4))
    next(cut.validations())
    resumed = make_run(outside, tmp_path / "cut", domain=table(2e4))
    assert resumed._monitor.state() == cut._monitor.state()
    assert judged(resumed) == expected
    assert found(one_column(expected))


TARGET = noise_of(range(32), 4)
FIELDS = {"y": FieldSpec("y", "target", "V", columns=KINDS)}


def said(errors_at: list[tuple[float, float]], squares: dict[str, float], *, step: int = 100, target: Tensor = TARGET,
         check: OneColumn | None = None) -> list[str]:  # fmt: skip
    """Statuses after looks at which gain and Q, and frequencies, were wrong by so much of their target's spread."""
    check, verdicts = check or OneColumn(), None
    for other, freq in errors_at:
        size = torch.tensor([other, freq, freq, other])
        view = bare_view(
            step=step, batch={"y": target}, outputs={"y": target + size * noise_of(range(32), 4, seed=1)},
            columns={"y": squares}, field_specs=FIELDS,
        )  # fmt: skip
        verdicts = check.look(view)
    return [item.status for item in verdicts or []]


LONE = {"gain": 1.0, "freq": 1e6, "q": 1.0}


def test_it_stops_where_no_other_kind_comes_nearer() -> None:
    assert said([(1.0, 1.0)] * 4, LONE) == ["stop"]
    assert said([(1.0, 1.0)] * 4, LONE, step=99) == ["warn"]
    assert said([(1.0, 1.0)] * 3, LONE) == []
    assert said([(1.0, 1.0)] * 4, LONE, step=4) == []
    assert said([(2.0, 1.0), (1.5, 1.0), (1.0, 1.0), (0.5, 1.0)], LONE) == ["warn"]


def test_what_may_rest_is_healthy() -> None:
    assert said([(0.1, 1.0)] * 4, LONE) == []
    assert said([(1.0, 1.0)] * 4, {"gain": 0.0, "freq": 1e6, "q": 0.0}) == []
    still = TARGET * torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert said([(1.0, 1.0)] * 4, LONE, target=still) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_says_nothing(value: float) -> None:
    assert said([(1.0, 1.0)] * 4, {**LONE, "q": value}) == []
    assert said([(math.nan, math.nan)] * 4, LONE) == []


def test_its_state_goes_on() -> None:
    first, second = OneColumn(), OneColumn()
    said([(1.0, 1.0)] * 3, LONE, check=first)
    second.load(first.state())
    assert said([(1.0, 1.0)], LONE, check=second) == ["stop"]


def test_measures_by_hand() -> None:
    gradient = torch.tensor([[[1.0, 2.0, 3.0]], [[0.0, 2.0, 4.0]]])
    assert by_kind(gradient, ("a", "b", "a")).tolist() == [26.0, 8.0]
    target = torch.tensor([[0.0, 5.0], [2.0, 5.0]])
    assert errors(target + 3.0, target, ("a", "b")) == {"a": 3.0}
    still = torch.full((7, 1), 0.1) * (1.0 + 1e-7 * torch.arange(7.0)[:, None])
    assert errors(still + 1.0, still, ("a",)) == {}
    assert alone({"a": 9999.0, "b": 1.0}) == "a"
    assert alone({"a": 9998.0, "b": 1.0, "c": 1.0}) is None
    assert alone({"a": 1.0}) is None
