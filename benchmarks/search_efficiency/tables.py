"""What the replay says: compute to reach random search's best, regret by compute, and whether two phases pay."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from scipy.stats import spearmanr

from benchmarks.search_efficiency.curves import Entry
from benchmarks.search_efficiency.record import settings_of
from benchmarks.search_efficiency.searchers import SEARCHERS, SICK, Moment, Pool
from distsys.config.space import SearchSpace
from distsys.pipeline.experiment import load_experiment

NUM_SEEDS = 10
TOP_K = 3


def space_of(domain: str) -> SearchSpace:
    return load_experiment(domain, root=Path("."), preset="demo", overrides=settings_of(domain)).space


def traces(pool: Pool) -> dict[str, list[list[Moment]]]:
    """By searcher and seed, every moment of a search through the whole pool."""
    return {name: [list(search(pool, seed)) for seed in range(NUM_SEEDS)] for name, search in SEARCHERS.items()}


def compute_to_reach(pool: Pool, found: dict[str, list[list[Moment]]], *, trials: int) -> dict[str, float]:
    """Compute to be as good as random search of the same seed after ``trials``, over what it spent; median of seeds."""
    ratios: dict[str, list[float]] = {name: [] for name in found}
    for seed in range(NUM_SEEDS):
        budget = trials * pool.steps
        target = _value_at(pool, found["random"][seed], budget)
        for name, runs in found.items():
            ratios[name].append(_first(pool, runs[seed], target) / budget)
    return {name: statistics.median(values) for name, values in ratios.items()}


def summary(reached: dict[str, dict[str, float]], name: str) -> float:
    """The median over domains."""
    return statistics.median(found[name] for found in reached.values())


def _first(pool: Pool, moments: Sequence[Moment], target: float) -> float:
    return next((moment.steps for moment in moments if _value(pool, moment) <= target), math.inf)


def _value(pool: Pool, moment: Moment) -> float:
    return math.inf if moment.crowned is None else pool.last(moment.crowned)


def _value_at(pool: Pool, moments: Sequence[Moment], budget: float) -> float:
    known = [moment for moment in moments if moment.steps <= budget]
    return _value(pool, known[-1]) if known else math.inf


def regrets(pool: Pool, found: dict[str, list[list[Moment]]], *, trials: Sequence[float]) -> dict[str, list[float]]:
    """By searcher: how far behind the pool's best trial; 1 is where the median healthy one is; mean over seeds."""
    costs = sorted(cost for index in range(len(pool.entries)) if (cost := pool.last(index)) < SICK / 2)
    best, unit = costs[0], statistics.median(costs) - costs[0]

    def regret(moments: list[Moment], budget: float) -> float:
        value = _value_at(pool, moments, budget)
        return (min(value, costs[-1]) - best) / unit

    return {
        name: [statistics.mean(regret(run, share * pool.steps) for run in runs) for share in trials]
        for name, runs in found.items()
    }


def correlations(entries: Sequence[Entry], pool: Pool) -> dict[str, float]:
    """Spearman's rank correlation over the pool of each short training's end with what the whole training crowns."""
    whole = [pool.cost(entry.curves["final"].chosen) for entry in entries]
    pairs = {
        kind: [pool.cost(entry.curves[kind].last) for entry in entries]
        for kind in ("search", "strong", "slice", "warm")
    }
    found = {f"{name} to final": _spearman(costs, whole) for name, costs in pairs.items()}
    return {**found, "search to slice": _spearman(pairs["search"], pairs["slice"])}


def _spearman(ours: Sequence[float], theirs: Sequence[float]) -> float:
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if math.isfinite(a) and math.isfinite(b)]
    return float(spearmanr([a for a, _ in both], [b for _, b in both]).statistic) if len(both) > 3 else math.nan


def phases(domain: str, entries: Sequence[Entry], *, trials: Sequence[int]) -> dict[str, list[float]]:
    """Final regret at equal compute: a conservative search without and with a handoff, and one under final weights.

    Budgets are in whole trials; a handoff's slices are paid out of them. Random draws, so that nothing else differs.
    """
    conservative = Pool(entries, space_of(domain), "search")
    final = [conservative.cost(entry.curves["final"].chosen) for entry in entries]
    healthy = sorted(cost for cost in final if math.isfinite(cost))
    best, unit, worst = healthy[0], statistics.median(healthy) - healthy[0], healthy[-1]

    def regret(index: int | None) -> float:
        return (min(final[index], worst) - best) / unit if index is not None else (worst - best) / unit

    def crowned(kind: str, drawn: Sequence[int], *, handoff: str = "") -> int | None:
        ranked = [i for i in drawn if math.isfinite(conservative.end(entries[i].curves[kind]))]
        ranked.sort(key=lambda i: conservative.end(entries[i].curves[kind]))
        if not handoff:
            return ranked[0] if ranked else None
        finalists = [i for i in ranked[:TOP_K] if math.isfinite(conservative.end(entries[i].curves[handoff]))]
        return min(finalists, key=lambda i: conservative.end(entries[i].curves[handoff]), default=None)

    slice_cost = TOP_K * entries[0].curves["slice"].steps / conservative.steps
    ways: dict[str, Callable[[Sequence[int], int], int | None]] = {
        "conservative": lambda drawn, budget: crowned("search", drawn[:budget]),
        "conservative, handoff": lambda drawn, budget: crowned(
            "search", drawn[: max(TOP_K, round(budget - slice_cost))], handoff="slice"
        ),
        "conservative, warm handoff": lambda drawn, budget: crowned(
            "search", drawn[: max(TOP_K, round(budget - slice_cost))], handoff="warm"
        ),
        "strong at once": lambda drawn, budget: crowned("strong", drawn[:budget]),
    }
    orders = [random.Random(seed).sample(range(len(entries)), len(entries)) for seed in range(20 * NUM_SEEDS)]
    return {
        name: [statistics.mean(regret(way(order, budget)) for order in orders) for budget in trials]
        for name, way in ways.items()
    }
