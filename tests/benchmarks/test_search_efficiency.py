"""Searches that are replayed spend what they train, see no more than they trained, and find what is there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.search_efficiency.curves import Curve, Entry, Point, read_pool
from benchmarks.search_efficiency.searchers import SEARCHERS, SICK, Pool, Tried
from benchmarks.search_efficiency.tables import compute_to_reach, correlations, traces
from distsys.config.space import Dimension, SearchSpace

SPACE = SearchSpace({"x": Dimension(low=0.0, high=1.0, prior=0.5)}, frozenset())
STEPS, RUNG = 40, 5
NUM = 16


def entry(number: int) -> Entry:
    """A trial whose cost falls from 2 to where it lies in the space; the first one takes the prior."""
    x = 0.5 if number == 0 else (number * 5 % NUM) / NUM
    end = abs(x - 0.25)
    points = tuple(Point(step, 2.0 - (2.0 - end) * step / STEPS, 0.0, True) for step in range(RUNG, STEPS + 1, RUNG))
    curves = {kind: Curve(STEPS, points, end) for kind in ("search", "strong", "slice", "warm", "final")}
    return Entry(number, {"x": x}, "error", "min", curves, dict.fromkeys(curves, 1.0))


@pytest.fixture
def pool() -> Pool:
    return Pool([entry(number) for number in range(NUM)], SPACE, "search")


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_search_through_the_whole_pool_crowns_its_best(pool: Pool, name: str) -> None:
    moments = list(SEARCHERS[name](pool, 0))
    best = min(range(NUM), key=pool.last)
    assert moments[-1].crowned == best
    assert [item.steps for item in moments] == sorted(item.steps for item in moments)
    assert moments[-1].steps <= NUM * STEPS


def test_whole_trials_spend_whole_trials_and_pruned_ones_less(pool: Pool) -> None:
    spent = {name: list(search(pool, 0))[-1].steps for name, search in SEARCHERS.items()}
    assert spent["random"] == spent["TPE"] == NUM * STEPS
    assert max(spent["ASHA"], spent["distsys"], spent["one rung, top 3"]) < 0.7 * NUM * STEPS


def test_going_on_costs_what_is_added(pool: Pool) -> None:
    tried = Tried(pool)
    tried.train(3, RUNG)
    assert tried.spent == RUNG
    tried.train(3, STEPS)
    assert tried.spent == STEPS
    assert tried.moment().crowned == 3


def test_what_ended_sick_comes_last() -> None:
    entries = [entry(0), entry(1)]
    sick = Curve(STEPS, (*entries[1].curves["search"].points[:-1], Point(STEPS, 0.0, 0.0, False)), math.nan)
    entries[1] = Entry(1, {"x": 0.9}, "error", "min", {**entries[1].curves, "search": sick}, {})
    pool = Pool(entries, SPACE, "search")
    assert pool.last(1) == SICK
    assert next(iter(reversed(list(SEARCHERS["random"](pool, 0))))).crowned == 0


def test_random_search_reaches_its_own_best_within_its_budget(pool: Pool) -> None:
    found = compute_to_reach(pool, traces(pool), trials=NUM // 2)
    assert 0.0 < found["random"] <= 1.0
    assert found["ASHA"] < found["random"]


def test_ends_that_agree_are_correlated(pool: Pool) -> None:
    assert all(value == pytest.approx(1.0) for value in correlations(pool.entries, pool).values())


def test_a_line_is_read_back(tmp_path: Path) -> None:
    lost = Entry(1, {"x": 0.1}, "error", "max", {"search": Curve(9, (), math.nan)}, {"search": 1.5})
    (tmp_path / "toy.jsonl").write_text("\n".join(item.line() for item in (lost, entry(0))))
    first, second = read_pool("toy", tmp_path)
    assert first == entry(0)
    assert second.direction == "max"
    assert math.isnan(second.curves["search"].last)
