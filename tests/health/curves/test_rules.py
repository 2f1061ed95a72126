"""Every simulated defect is named, at each strength, and no healthy history is: twenty seeds each."""

from __future__ import annotations

import pytest

from distsys.health.causes import DEFECTS
from tests.health.curves import healthy, healthy_rates, sick  # noqa: F401 - register their simulations
from tests.health.curves.measure import row
from tests.health.curves.simulation import CASES, Case

SEEDS = range(20)
SICK = [(item, strength) for item in CASES if item.cause for strength in item.strengths]
HEALTHY = [(item, strength) for item in CASES if not item.cause for strength in item.strengths]
FOUND_FROM_CURVES = ("D11", "D14", "D16", "D21", "D24", "D25")


def name_of(value: Case | float) -> str:
    return value.name if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("item", "strength"), SICK, ids=name_of)
def test_a_defect_is_named(item: Case, strength: float) -> None:
    found = row(item, strength, SEEDS)
    assert found.named >= 0.85 * len(SEEDS), found.others


@pytest.mark.parametrize(("item", "strength"), HEALTHY, ids=name_of)
def test_a_healthy_run_is_left_alone(item: Case, strength: float) -> None:
    assert not row(item, strength, SEEDS).others


def test_nearly_all_are_named_and_none_twice_wrongly() -> None:
    rows = [row(item, strength, range(100, 104)) for item, strength in [*SICK, *HEALTHY]]
    named, asked = sum(item.named for item in rows), 4 * len(SICK)
    assert named >= 0.98 * asked
    assert sum(sum(item.others.values()) for item in rows if not item.is_sick) <= 0.01 * 4 * len(HEALTHY)


def test_there_is_a_simulation_of_each_defect_that_curves_show() -> None:
    causes = {item.cause for item in CASES}
    for number in FOUND_FROM_CURVES:
        assert DEFECTS[number] in causes, number
