"""The curves of one run: series by name, what each is taken to mean, and what is declared of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from distsys.health.verdict import Constraint, Verdict
from distsys.specs import Direction, MetricSpec

Kind = Literal["loss", "term", "metric", "rate", "weight", "share", "skipped", "steps", "other"]
Split = Literal["train", "validation", "test", ""]


@dataclass(frozen=True)
class Meaning:
    """What a series is.

    Args:
        kind: ``loss`` is what is minimised as a whole, ``term`` a part of it, ``rate`` a learning rate, ``share`` a
            term's share of the gradient norm, ``skipped`` and ``steps`` counts of the optimiser.
        split: the data it was measured on; empty where its name does not say.
        direction: which way is better, or None where that is not known.
        low, high: values that it cannot leave.
        chance: its value for a model that learned nothing, where that is known.
        weight: the series that holds a term's weight.
        of: what it is about, without its split: the same for ``train/loss`` and ``val_loss``.
        is_free: whether a healthy run moves it either way: an adversary's loss, a policy's.
        is_penalty: whether a healthy run may leave it where it is: a regulariser.
        is_guess: whether all of this was read from its name.
    """

    kind: Kind = "other"
    split: Split = ""
    direction: Direction | None = None
    low: float = -math.inf
    high: float = math.inf
    chance: float | None = None
    weight: str = ""
    of: str = ""
    is_free: bool = False
    is_penalty: bool = False
    is_guess: bool = True


@dataclass(frozen=True, eq=False)
class Series:
    """One curve: ``values`` at rising ``steps``, both [points]; NaN where the run had no number.

    Args:
        repeats: (step, value, other value) of what was measured twice in a row at one step.
    """

    name: str
    steps: np.ndarray
    values: np.ndarray
    meaning: Meaning = Meaning()
    repeats: tuple[tuple[float, float, float], ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def finite(self) -> Series:
        """The same without what is not finite."""
        kept = np.isfinite(self.values)
        return self if kept.all() else self.where(kept)

    def where(self, kept: np.ndarray) -> Series:
        """The points that ``kept`` marks."""
        return Series(self.name, self.steps[kept], self.values[kept], self.meaning, self.repeats)

    def at(self, step: float) -> float:
        """The value at ``step``, else NaN."""
        found = np.flatnonzero(self.steps == step)
        return float(self.values[found[0]]) if len(found) else math.nan

    def step(self, index: int) -> int:
        """The step of a point, as verdicts count them."""
        return int(self.steps[index])


@dataclass(frozen=True)
class History:
    """The curves of one run, and what is known of it besides.

    Args:
        name: what a person calls the run.
        selection: the metric that chooses a checkpoint, or None where nobody said.
        bands: constraints that a chosen checkpoint keeps.
        chosen: step of the checkpoint that was chosen, or None.
        tie: difference of the selection metric, at the loss's choice and at the metric's, that noise alone makes;
            None where it has to be read from the curve.
        expected_rate: the learning rate that the schedule prescribes after the steps that were really taken.
        facts: settings of the run that are numbers, by name: ``batch_size``, say.
        known: what was found of the chosen checkpoint while it ran.
        notes: what a reader had to assume.
        stands: whether it is the one that its experiment chose, or the only one.
    """

    name: str
    series: tuple[Series, ...]
    selection: MetricSpec | None = None
    bands: tuple[Constraint, ...] = ()
    chosen: int | None = None
    tie: float | None = None
    expected_rate: Series | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    known: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    stands: bool = True

    @property
    def points(self) -> int:
        return sum(len(item) for item in self.series)

    @property
    def span(self) -> tuple[float, float]:
        """First and last step of the run."""
        known = [item.steps for item in self.series if len(item)]
        return (min(float(steps[0]) for steps in known), max(float(steps[-1]) for steps in known)) if known else (0, 0)

    def get(self, name: str) -> Series | None:
        """The series of a name."""
        return next((item for item in self.series if item.name == name), None)

    def of_kind(self, *kinds: Kind, split: Split | None = None) -> list[Series]:
        """Series of these kinds that hold a point, of one split where one is named."""
        found = [item for item in self.series if item.meaning.kind in kinds and len(item)]
        return [item for item in found if split is None or item.meaning.split == split]


def series_of(name: str, steps: Sequence[float], values: Sequence[float], meaning: Meaning = Meaning()) -> Series:
    """A series of points in the order in which they were written.

    Where most steps come several times (``step`` counts epochs, say) the points are spread within them. Otherwise a
    later value of a step stands for the earlier ones: a resumed run writes some again.
    """
    at, found = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if len(at) > 2 * len(np.unique(at)):
        return Series(name, _spread(at), found[np.argsort(at, kind="stable")], meaning)
    twice = np.flatnonzero((at[1:] == at[:-1]) & np.isfinite(found[1:]) & np.isfinite(found[:-1]))
    repeats = tuple((float(at[i]), float(found[i]), float(found[i + 1])) for i in twice)
    order = np.argsort(at, kind="stable")
    at, found = at[order], found[order]
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.zeros(0, dtype=bool)
    return Series(name, at[last], found[last], meaning, repeats)


def _spread(steps: np.ndarray) -> np.ndarray:
    """Sorted ``steps`` in which those that are equal share the way to the next one evenly."""
    ordered = np.sort(steps)
    unique, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    gap = float(np.median(np.diff(unique))) if len(unique) > 1 else float(len(ordered))
    within = np.arange(len(ordered)) - np.repeat(first, counts)
    return ordered + gap * within / np.repeat(counts, counts)


def shared(one: Series, other: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps at which both have a finite value, and the values of each."""
    one, other = one.finite, other.finite
    steps, mine, theirs = np.intersect1d(one.steps, other.steps, return_indices=True)
    return steps, one.values[mine], other.values[theirs]


def weights_move(history: History) -> bool:
    """Whether a weight of the loss is changed on the way: the total is then not one quantity."""
    return any(np.ptp(item.finite.values) > 0.0 for item in history.of_kind("weight") if len(item.finite))
