"""A validation is judged by its bands, by what needs no model, and by whether it is a number at all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from distsys.domains.protocol import Evaluation
from distsys.health.causes import NOT_FINITE, TRIVIAL
from distsys.health.verdict import Constraint, is_sick
from distsys.specs import Direction, MetricSpec
from distsys.training.data import built_data
from distsys.training.judge import Judge, trivial_values
from tests.training.support import make_spec

BAND = Constraint("spread", 0.8, 1.2, fix="train longer")


def found(value: float, *, spread: float = 1.0, error: float = 0.0, items: int = 100) -> Evaluation:
    each = value + 0.1 * (np.arange(items) % 2 - 0.5)
    return Evaluation({"mae": value, "spread": spread}, each, errors={"spread": error})


def judge(trivial: dict[str, float], direction: Direction = "min", *, is_short: bool = False) -> Judge:
    return Judge(MetricSpec("mae", direction, "V"), (BAND,), trivial, is_short)


@pytest.mark.parametrize(
    ("direction", "value", "status"),
    [
        ("min", 0.30, None),
        ("min", 0.404, None),  # within the noise floor of 0.005
        ("min", 0.45, "stop"),
        ("max", 0.55, None),
        ("max", 0.45, "stop"),
    ],
)
def test_a_model_that_loses_to_the_best_trivial_baseline_is_sick(
    direction: Direction, value: float, status: str | None
) -> None:
    trivial = {"mean": 0.4, "zero": 0.9} if direction == "min" else {"mean": 0.5, "zero": 0.1}
    verdicts = judge(trivial, direction).verdicts(found(value), step=7)
    assert [item.status for item in verdicts] == ([status] if status else [])
    if verdicts:
        assert verdicts[0].cause == TRIVIAL.name
        assert "'mean' has" in verdicts[0].evidence
        assert verdicts[0].onset_step == 7


def test_a_short_run_may_still_be_on_its_way() -> None:
    (verdict,) = judge({"mean": 0.4}, is_short=True).verdicts(found(0.6), step=7)
    assert verdict.status == "warn"
    assert not is_sick([verdict])


@pytest.mark.parametrize(
    ("spread", "error", "status"),
    [(1.0, 0.1, None), (0.75, 0.04, "stop"), (0.75, 0.06, "warn"), (1.25, 0.06, "warn"), (float("nan"), 9.0, "stop")],
)
def test_outside_a_band_by_less_than_its_standard_error_is_doubtful(
    spread: float, error: float, status: str | None
) -> None:
    verdicts = judge({}).verdicts(found(0.3, spread=spread, error=error), step=1)
    assert [item.status for item in verdicts] == ([status] if status else [])
    if status == "warn":
        assert verdicts[0].cause == "spread doubtful"
        assert f"standard error {error:g}" in verdicts[0].evidence


def test_what_is_no_number_is_named_and_compared_with_nothing() -> None:
    verdicts = judge({"mean": 0.4}).verdicts(found(float("nan")), step=1)
    assert [item.cause for item in verdicts] == [NOT_FINITE.name]
    assert judge({"mean": float("nan")}).verdicts(found(0.3), step=1) == []


def test_distance_adds_up_over_bands_in_parts_of_their_edges() -> None:
    two = Judge(MetricSpec("mae", "min", "V"), (BAND, Constraint("mae", high=0.5)))
    assert two.distance(found(0.4)) == 0.0
    assert two.distance(found(0.6, spread=0.4)) == pytest.approx(0.5 + 0.2)
    for broken in (found(float("nan")), found(0.4, spread=float("nan"))):
        assert two.distance(broken) == math.inf


def test_trivial_rows_are_found_once_for_a_set_and_costly_ones_never(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, domain = make_spec(outside)
    bundle = built_data(domain, spec.config)
    calls: list[str] = []
    real = type(domain).baselines

    def counted(self: object, *arguments: object) -> object:
        calls.append("asked")
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(domain), "baselines", counted)
    first = trivial_values(domain, spec.config, bundle, bundle.validation)
    assert first == trivial_values(domain, spec.config, bundle, bundle.validation)
    assert list(first) == ["zero"]
    trivial_values(domain, spec.config, bundle, bundle.test)
    assert calls == ["asked", "asked"]
