"""Which checkpoint is best: constraints first, then the selection metric, ties below the noise floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np

from distsys.domains.protocol import MetricSpec
from distsys.files import number_or_nan
from distsys.health.causes import LOSS_AGAINST_METRIC
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
MOST_NAMED = 3 + _FORMER
"""Steps that a selection names at most: the best, the nearest, the last healthy one, and the former best."""


_AGAINST, _FEWEST = -0.7, 8
"""Rank correlation of loss and metric that chance gives once in fifty at so few validations (Spearman's table)."""
_FLOORS = 3.0
"""Standard errors by which the loss's choice is the worse one."""
_SAME = 4
"""Validations of one value, while the loss still fell."""
_OTHER_METRIC = "choose by a metric that differs between good and bad models, in small steps"


@dataclass
class Opinions:
    """Metric and loss at each validation since the weights last changed: before, the loss was another quantity."""

    values: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.values)

    def add(self, value: float, *, loss: float, weights: Mapping[str, float]) -> None:
        """One more validation."""
        if weights != self.weights:
            self.values, self.losses, self.weights = [], [], dict(weights)
        if math.isfinite(value) and math.isfinite(loss):
            self.values.append(value)
            self.losses.append(loss)

    def agreement(self, spec: MetricSpec) -> float:
        """Spearman's rank correlation of the loss with how bad the metric is; 1 where too little is known."""
        if self.count < _FEWEST or len(set(self.values)) < 2 or len(set(self.losses)) < 2:
            return 1.0
        from scipy.stats import spearmanr  # half a second that most runs do not need

        sign = -1.0 if spec.direction == "max" else 1.0
        return float(spearmanr(self.losses, [sign * value for value in self.values]).statistic)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """The opinions that ``asdict`` gave."""
        return cls(**content)


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
        by_metric: what the metric alone would have chosen.
        last: the latest validation.
        nearest: the one that came nearest to its bands, the later of equals.
        last_healthy_step: latest step whose constraints held, or None.
        opinions: how loss and metric ranked the validations.
    """

    spec: MetricSpec
    best: Choice | None = None
    former: list[Choice] = field(default_factory=list)
    by_loss: Choice | None = None
    by_metric: Choice | None = None
    last_healthy_step: int | None = None
    last: Choice | None = None
    nearest: Choice | None = None
    history: list[tuple[int, float]] = field(default_factory=list)
    opinions: Opinions = field(default_factory=Opinions)

    def update(self, validation: Validation) -> None:
        """Take one more validation into account."""
        candidate = Choice.of(validation, self.spec)
        self.history.append((candidate.step, candidate.value))
        self.opinions.add(candidate.value, loss=candidate.loss, weights=validation.weights)
        self.last = candidate
        if self.nearest is None or not candidate.distance > self.nearest.distance:
            self.nearest = candidate
        if self._has_lower_loss(candidate):
            self.by_loss = candidate
        if self.by_metric is None or self.spec.better(candidate.value, than=self.by_metric.value):
            self.by_metric = candidate
        if not validation.healthy:
            return
        self.last_healthy_step = validation.step
        if self.best is None:
            self.best = candidate
        elif self._clearly_better(candidate, self.best) or self._wins_tie(candidate, self.best):
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

    def disagreement(self) -> Verdict | None:
        """A warning where the metric tells no validation from another, or gets worse as the loss falls (D14).

        The second only where the loss's choice is clearly the worse one.
        """
        if self.best is not None and self._tells_nothing():
            value, count = self.best.value, len(self.history)
            evidence = f"{self.spec.name} = {value:.4g} {self.spec.unit} at each of {count} validations: it chose none"
            return LOSS_AGAINST_METRIC.verdict("warn", evidence, step=self.history[0][0], fix=_OTHER_METRIC)
        best, by_loss = self.by_metric, self.by_loss
        if best is None or by_loss is None or not self.spec.better(best.value, than=by_loss.value):
            return None
        floor, agreement = paired_floor(best.items, by_loss.items), self.opinions.agreement(self.spec)
        if agreement > _AGAINST or abs(best.value - by_loss.value) <= _FLOORS * floor:
            return None
        name, unit = self.spec.name, self.spec.unit
        evidence = (
            f"over {self.opinions.count} validations their rank correlation is {agreement:.2f}; the least loss, "
            f"at step {by_loss.step}, has {name} = {by_loss.value:.4g} {unit}, "
            f"the best, at step {best.step}, {best.value:.4g}"
        )
        return LOSS_AGAINST_METRIC.verdict("warn", evidence, step=by_loss.step)

    def _tells_nothing(self) -> bool:
        is_flat = len(self.history) >= _SAME and len({value for _, value in self.history}) == 1
        return is_flat and self.by_loss is not None and self.by_loss.step > self.history[0][0]

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

    def _wins_tie(self, candidate: Choice, best: Choice) -> bool:
        """Better by the other metric, and clearly behind neither ``best`` nor what any validation reached.

        The latter, since of many ties in a row each may be a little worse.
        """
        other = self.spec.ties_by
        if other is None or not other.better(candidate.metrics[other.name], than=best.metrics[other.name]):
            return False
        return not any(item and self._clearly_better(item, candidate) for item in (best, self.by_metric))

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "best": self.best and asdict(self.best),
            "former": [asdict(item) for item in self.former],
            "by_loss": self.by_loss and asdict(self.by_loss),
            "by_metric": self.by_metric and asdict(self.by_metric),
            "last": self.last and asdict(self.last),
            "nearest": self.nearest and asdict(self.nearest),
            "last_healthy_step": self.last_healthy_step,
            "history": self.history,
            "opinions": asdict(self.opinions),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        for name in ("best", "by_loss", "by_metric", "last", "nearest"):
            setattr(self, name, Choice.read(state[name]) if state.get(name) else None)
        self.former = [Choice.read(item) for item in state.get("former", [])]
        self.last_healthy_step = state["last_healthy_step"]
        self.history = [(step, number_or_nan(value)) for step, value in state["history"]]
        self.opinions = Opinions.read(state.get("opinions", {}))
