"""Which checkpoint is best: constraints first, then the selection metric, ties below the noise floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np

from distsys.domains.protocol import MetricSpec
from distsys.files import number_or_nan
from distsys.health.verdict import Verdict, is_sick
from distsys.training.evaluate import Validation


def paired_floor(items: Sequence[float], others: Sequence[float]) -> float:
    """Standard error of the mean difference over the same frozen items; below it two values are a tie."""
    if len(items) != len(others) or len(items) < 2:
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.asarray(items) - np.asarray(others)
        floor = float(difference.std(ddof=1) / math.sqrt(len(difference)))
    return floor if math.isfinite(floor) else 0.0


_FORMER = 3
"""Former best checkpoints that are kept: the first of all, which the earliest onset spares, and the latest."""


def _met(verdicts: Sequence[Verdict], step: int) -> list[Verdict]:
    """Those whose onset lies at or before ``step``."""
    return [item for item in verdicts if item.onset_step <= step]


@dataclass
class Choice:
    """A validation that was chosen: enough of it to compare with and to report."""

    step: int
    value: float
    loss: float
    metrics: Mapping[str, float]
    items: Sequence[float]
    verdicts: Sequence[Verdict]
    distance: float = 0.0

    @property
    def is_sick(self) -> bool:
        return is_sick(self.verdicts)

    @classmethod
    def of(cls, validation: Validation, spec: MetricSpec) -> Self:
        value = validation.metrics[spec.name]
        return cls(
            validation.step,
            value,
            validation.loss,
            validation.metrics,
            validation.items,
            validation.verdicts,
            validation.distance,
        )

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """The choice that ``asdict`` gave."""
        metrics = {name: number_or_nan(value) for name, value in content["metrics"].items()}
        values = {name: number_or_nan(content[name]) for name in ("value", "loss", "distance")}
        items = [number_or_nan(value) for value in content["items"]]
        verdicts = Verdict.read_all(content["verdicts"])
        return cls(content["step"], metrics=metrics, items=items, verdicts=verdicts, **values)


@dataclass
class Selection:
    """The running choice of one run; its state travels in every checkpoint.

    Args:
        best: the best healthy validation, or None while there is none.
        former: those that were best before it, oldest first: one of them is best again where it is taken back.
        by_loss: what the loss alone would have chosen.
        last: the latest validation.
        nearest: the one that came nearest to its bands, the later of equals.
        last_healthy_step: latest step whose constraints held, or None.
    """

    spec: MetricSpec
    best: Choice | None = None
    former: list[Choice] = field(default_factory=list)
    by_loss: Choice | None = None
    last_healthy_step: int | None = None
    last: Choice | None = None
    nearest: Choice | None = None
    history: list[tuple[int, float]] = field(default_factory=list)

    def update(self, validation: Validation) -> None:
        """Take one more validation into account."""
        candidate = Choice.of(validation, self.spec)
        self.history.append((candidate.step, candidate.value))
        self.last = candidate
        if self.nearest is None or not candidate.distance > self.nearest.distance:
            self.nearest = candidate
        if self._has_lower_loss(candidate):
            self.by_loss = candidate
        if not validation.healthy:
            return
        self.last_healthy_step = validation.step
        if self.best is None:
            self.best = candidate
        elif self._clearly_better(candidate, self.best):
            self.former = [*self.former, self.best]
            self.former = self.former[:1] + self.former[1:][1 - _FORMER :]
            self.best = candidate

    def retract(self, verdicts: Sequence[Verdict]) -> None:
        """What was chosen at or after the onset of what is found only now was sick already: what was best before is."""
        stops = [item for item in verdicts if item.status == "stop"]
        if self.best is not None and _met(stops, self.best.step):
            spared = [item for item in self.former if not _met(stops, item.step)]
            self.former, self.best = spared[:-1], spared[-1] if spared else None
        if self.last_healthy_step is not None and _met(stops, self.last_healthy_step):
            self.last_healthy_step = self.best.step if self.best else None
        for name in ("by_loss", "nearest"):
            choice: Choice | None = getattr(self, name)
            if choice is not None and (late := _met(stops, choice.step)) and not choice.is_sick:
                setattr(self, name, replace(choice, verdicts=[*late, *choice.verdicts]))

    @property
    def named_steps(self) -> set[int]:
        """Steps whose checkpoints may still be asked for."""
        steps = {item.step for item in (self.best, self.nearest, *self.former) if item is not None}
        return steps if self.last_healthy_step is None else steps | {self.last_healthy_step}

    def _has_lower_loss(self, candidate: Choice) -> bool:
        """A loss that is not finite stands only until there is another."""
        known = self.by_loss
        return known is None or not math.isfinite(known.loss) or candidate.loss < known.loss

    def _clearly_better(self, candidate: Choice, best: Choice) -> bool:
        floor = paired_floor(candidate.items, best.items)
        difference = abs(candidate.value - best.value)
        return self.spec.better(candidate.value, than=best.value) and difference > floor

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "best": self.best and asdict(self.best),
            "former": [asdict(item) for item in self.former],
            "by_loss": self.by_loss and asdict(self.by_loss),
            "last": self.last and asdict(self.last),
            "nearest": self.nearest and asdict(self.nearest),
            "last_healthy_step": self.last_healthy_step,
            "history": self.history,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        for name in ("best", "by_loss", "last", "nearest"):
            setattr(self, name, Choice.read(state[name]) if state[name] else None)
        self.former = [Choice.read(item) for item in state.get("former", [])]
        self.last_healthy_step = state["last_healthy_step"]
        self.history = [(step, number_or_nan(value)) for step, value in state["history"]]
