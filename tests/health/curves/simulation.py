"""What simulated histories are made of, and the lists of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distsys.health.causes import Cause
from distsys.health.curves.history import History, series_of
from distsys.health.curves.names import with_guesses
from distsys.health.curves.registry import examine_curves
from distsys.health.verdict import Verdict

Points = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]
Curves = dict[str, Points]
Make = Callable[[np.random.Generator, float], Curves]


@dataclass(frozen=True)
class Case:
    """One simulation; ``cause`` is what has to be found in it, None where it is healthy."""

    name: str
    make: Make
    cause: Cause | None
    strengths: tuple[float, ...]

    def verdicts(self, seed: int, strength: float) -> list[Verdict]:
        return examine_curves(history(self.make(np.random.default_rng(seed), strength)))


CASES: list[Case] = []


def case(cause: Cause | None = None, *, strengths: tuple[float, ...] = (1.0,)) -> Callable[[Make], Make]:
    """Registers a simulation."""

    def register(make: Make) -> Make:
        CASES.append(Case(make.__name__, make, cause, strengths))
        return make

    return register


def history(curves: Mapping[str, Points], **known: object) -> History:
    """The history of a run of which nothing but its curves is known."""
    series = [series_of(name, list(steps), list(values)) for name, (steps, values) in curves.items()]
    return History("made", with_guesses(series), **known)  # type: ignore[arg-type]


def noisy(rng: np.random.Generator, values: np.ndarray, spread: float | np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=float) + spread * rng.normal(size=len(values))


def decaying(steps: np.ndarray, begin: float, end: float, scale: float | None = None) -> np.ndarray:
    """An exponential way from ``begin`` to ``end``."""
    scale = scale or max(float(steps[-1]) / 5.0, 1e-9)
    return end + (begin - end) * np.exp(-np.asarray(steps, dtype=float) / scale)


rising = decaying


def cosine(done: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.cos(np.pi * np.asarray(done, dtype=float)))


def warmed(steps: np.ndarray, count: int) -> np.ndarray:
    return np.minimum((np.asarray(steps, dtype=float) + 1) / count, 1.0)
