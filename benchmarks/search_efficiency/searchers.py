"""Ways of searching, replayed on a pool: each says what it spent and whom it would crown by then."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

from benchmarks.search_efficiency.curves import Curve, Entry
from distsys.cluster.rungs import RungPruner
from distsys.cluster.study import _distribution
from distsys.config.space import SearchSpace
from distsys.domains.protocol import MetricSpec

STARTUP, FACTOR = 6, 3
SICK = 1e6
"""Added to the cost of what ended sick; costs of healthy ones lie far below."""


@dataclass
class Pool:
    """The configurations that a search may draw, each once, and what it sees of them.

    Args:
        kind: of the curves that are the search's trials.
    """

    entries: Sequence[Entry]
    space: SearchSpace
    kind: str

    def __post_init__(self) -> None:
        self.metric = MetricSpec(self.entries[0].metric, self.entries[0].direction, "1")  # type: ignore[arg-type]
        self.steps = self.curve(0).steps
        self.rungs = [point.step for point in max((self.curve(i).points for i in range(len(self.entries))), key=len)]
        self._places = [self._place(entry.params) for entry in self.entries]

    def curve(self, index: int) -> Curve:
        return self.entries[index].curves[self.kind]

    def cost(self, value: float) -> float:
        """Smaller for better; infinite where there is no healthy value."""
        return math.inf if math.isnan(value) else value if self.metric.direction == "min" else -value

    def end(self, curve: Curve) -> float:
        """The cost at the end of a training; a sick one comes after all healthy ones, as it does in a search."""
        return self.cost(curve.last) + (0.0 if curve.is_healthy else SICK)

    def last(self, index: int) -> float:
        """The cost at the end of the whole trial."""
        return self.end(self.curve(index))

    def at(self, index: int, step: int) -> float:
        """The cost at ``step``."""
        found = [point for point in self.curve(index).points if point.step == step]
        return self.cost(found[0].value) if found else math.inf

    def nearest(self, params: Mapping[str, float], free: set[int]) -> int:
        """Of those still free, the one nearest to ``params`` on the searched scales."""
        here = self._place(params)
        return min(free, key=lambda index: (math.dist(here, self._places[index]), index))

    def _place(self, params: Mapping[str, float]) -> list[float]:
        place = []
        for path, item in self.space.dimensions.items():
            low, high, value = (float(x) for x in (item.low or 0.0, item.high or 1.0, params[path]))
            if item.log:
                low, high, value = math.log(low), math.log(high), math.log(value)
            place.append((value - low) / (high - low))
        return place


@dataclass(frozen=True)
class Moment:
    """Steps spent, and the configuration that would be crowned now, None while none is healthy."""

    steps: int
    crowned: int | None


@dataclass
class Tried:
    """What a search has seen so far: by configuration, the steps it was given and the cost there."""

    pool: Pool
    spent: int = 0
    seen: dict[int, tuple[int, float]] = field(default_factory=dict)

    def train(self, index: int, to: int) -> float:
        """Bring a configuration to ``to`` steps, from where it was; one that ended sick costs what it ran for."""
        began = self.seen.get(index, (0, math.inf))[0]
        points = [point.step for point in self.pool.curve(index).points]
        reached = min(to, points[-1] if points else to)
        self.spent += max(0, reached - began)
        value = self.pool.last(index) if to == self.pool.steps else self.pool.at(index, to)
        self.seen[index] = (to, value)
        return value

    def moment(self) -> Moment:
        """Whoever went furthest is compared, as a search does that has pruned the others."""
        furthest = max(step for step, _ in self.seen.values())
        best = min((value, index) for index, (step, value) in self.seen.items() if step == furthest)
        return Moment(self.spent, best[1] if math.isfinite(best[0]) else None)


Draw = Callable[[set[int]], int]
"""The next of the configurations still free."""
Searcher = Callable[[Pool, int], Iterator[Moment]]


def _at_random(pool: Pool, seed: int) -> Draw:
    order = random.Random(seed).sample(range(len(pool.entries)), len(pool.entries))
    return lambda free: next(index for index in order if index in free)


def random_search(pool: Pool, seed: int) -> Iterator[Moment]:
    """Whole trials in random order."""
    yield from _whole_trials(pool, _at_random(pool, seed))


def _whole_trials(pool: Pool, draw: Draw) -> Iterator[Moment]:
    tried, free = Tried(pool), set(range(len(pool.entries)))
    while free:
        free.remove(index := draw(free))
        tried.train(index, pool.steps)
        yield tried.moment()


class Modelled:
    """TPE (Bergstra et al. 2011) over the pool: its suggestion's nearest neighbour is drawn."""

    def __init__(self, pool: Pool, seed: int, *, prior_first: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._pool, self._prior_first = pool, prior_first
        self._distributions = {
            path: _distribution(item, path in pool.space.integers) for path, item in pool.space.dimensions.items()
        }
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        self._study = optuna.create_study(sampler=sampler)

    def __call__(self, free: set[int]) -> int:
        if self._prior_first and 0 in free:
            return 0
        asked = self._study.ask(self._distributions)
        self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        return self._pool.nearest(asked.params, free)

    def learn(self, index: int, cost: float, at: Mapping[int, float], *, is_pruned: bool) -> None:
        """What became of the configuration, and its course."""
        states = optuna.trial.TrialState
        state = states.PRUNED if is_pruned else states.COMPLETE if cost < SICK / 2 else states.FAIL
        params: dict[str, Any] = dict(self._pool.entries[index].params)
        trial = optuna.trial.create_trial(
            params=params, distributions=self._distributions, state=state,
            value=cost if state is states.COMPLETE else None,
            intermediate_values={step: value for step, value in at.items() if math.isfinite(value)},
        )  # fmt: skip
        self._study.add_trial(trial)


def tpe(pool: Pool, seed: int) -> Iterator[Moment]:
    """Whole trials, modelled."""
    model, tried, free = Modelled(pool, seed, prior_first=False), Tried(pool), set(range(len(pool.entries)))
    while free:
        free.remove(index := model(free))
        model.learn(index, tried.train(index, pool.steps), {}, is_pruned=False)
        yield tried.moment()


def _pruned(
    pool: Pool, draw: Draw, *, factor: int = FACTOR, learn: Callable[..., None] | None = None
) -> Iterator[Moment]:
    """Trials that end at a rung where they are clearly behind."""
    pruner = RungPruner(first_step=pool.rungs[0], reduction_factor=factor, spec=pool.metric)
    tried, free = Tried(pool), set(range(len(pool.entries)))
    while free:
        free.remove(index := draw(free))
        at: dict[int, float] = {}
        is_pruned = False
        for point in pool.curve(index).points:
            at[point.step] = tried.train(index, point.step)
            pruner.note(index, step=point.step, value=point.value)
            if pruner.stops(index, step=point.step, noise_floor=point.noise_floor) and point.step < pool.steps:
                is_pruned = True
                break
        if learn is not None:
            learn(index, tried.seen[index][1], at, is_pruned=is_pruned)
        yield tried.moment()


def asha(pool: Pool, seed: int) -> Iterator[Moment]:
    """Random draws, successive halving (Li et al., arXiv 1810.05934)."""
    yield from _pruned(pool, _at_random(pool, seed))


def ours(pool: Pool, seed: int) -> Iterator[Moment]:
    """What ``distsys run`` does: the priors first, TPE, successive halving with ties."""
    model = Modelled(pool, seed, prior_first=True)
    yield from _pruned(pool, model, learn=model.learn)


def around_priors(pool: Pool, seed: int) -> Iterator[Moment]:
    """The priors first, then half of the draws near them (after PriorBand, arXiv 2306.12370), successive halving."""
    rng, at_random = random.Random(seed), _at_random(pool, seed)
    spread = {path: (item.low, item.high, item.log) for path, item in pool.space.dimensions.items()}

    def draw(free: set[int]) -> int:
        if 0 in free:
            return 0
        if rng.random() < 0.5:
            return at_random(free)
        near = {}
        for path, (low, high, log) in spread.items():
            assert low is not None and high is not None
            middle = pool.entries[0].params[path]
            if log:
                near[path] = min(max(middle * (high / low) ** rng.gauss(0.0, 0.25), low), high)
            else:
                near[path] = min(max(middle + (high - low) * rng.gauss(0.0, 0.25), low), high)
        return pool.nearest(near, free)

    yield from _pruned(pool, draw)


def first_rung(pool: Pool, seed: int, *, top_k: int = 3) -> Iterator[Moment]:
    """ "One epoch, top k" (arXiv 2307.15422): all to the first rung, then the best ``top_k`` of them to the end."""
    draw, tried, free = _at_random(pool, seed), Tried(pool), set(range(len(pool.entries)))
    while free:
        free.remove(index := draw(free))
        tried.train(index, pool.rungs[0])
        ranked = sorted(tried.seen, key=lambda item: pool.at(item, pool.rungs[0]))[:top_k]
        whole = [item for item in ranked if math.isfinite(pool.last(item))]
        more = sum(pool.steps - pool.rungs[0] for _ in ranked)
        yield Moment(tried.spent + more, min(whole, key=pool.last, default=None))


def freeze_thaw(pool: Pool, seed: int) -> Iterator[Moment]:
    """By turns a new configuration for one rung, and one more rung for the best that is not at its end."""
    draw, tried, free = _at_random(pool, seed), Tried(pool), set(range(len(pool.entries)))
    while True:
        if free:
            free.remove(index := draw(free))
            tried.train(index, pool.rungs[0])
            yield tried.moment()
        open_ = [item for item, (step, value) in tried.seen.items() if step < pool.steps and math.isfinite(value)]
        if not open_ and not free:
            return
        if open_:
            best = min(open_, key=lambda item: tried.seen[item][1])
            step = tried.seen[best][0]
            tried.train(best, next((rung for rung in pool.rungs if rung > step), pool.steps))
            yield tried.moment()


SEARCHERS: dict[str, Searcher] = {
    "random": random_search,
    "TPE": tpe,
    "ASHA": asha,
    "one rung, top 3": first_rung,
    "around priors": around_priors,
    "freeze-thaw": freeze_thaw,
    "distsys": ours,
}
