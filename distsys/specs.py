"""What a domain declares of its metrics, loss terms and tensors: plain facts that checks and the core both judge by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["max", "min"]
Role = Literal["input", "noisy input", "conditioning", "target", "bookkeeping"]
Kind = Literal["trivial", "peer", "bound"]


@dataclass(frozen=True)
class MetricSpec:
    """The metric that is optimised and that chooses a checkpoint; never the loss."""

    name: str
    direction: Direction
    unit: str

    def better(self, value: float, *, than: float) -> bool:
        """Whether ``value`` is strictly better; nothing that is not finite is better."""
        if not math.isfinite(value):
            return False
        if not math.isfinite(than):
            return True
        return value > than if self.direction == "max" else value < than

    @property
    def worst(self) -> float:
        """The value that every other one beats."""
        return -math.inf if self.direction == "max" else math.inf


@dataclass(frozen=True)
class TermSpec:
    """One unweighted part of the loss; its weight is ``lambda_<name>``.

    Args:
        unit: of its value.
        lower_bound: the value it never goes below.
        scale: ``invariant`` when multiplying the model's output by a constant leaves it alone.
        chance: its value for a model that learned nothing, where that is known.
    """

    name: str
    unit: str
    lower_bound: float
    scale: Literal["invariant", "sensitive"] = "sensitive"
    chance: float | None = None

    @property
    def weight_name(self) -> str:
        return f"lambda_{self.name}"


@dataclass(frozen=True)
class FieldSpec:
    """One tensor of a batch.

    Args:
        role: ``input`` and ``noisy input`` (made with noise that a target must not depend on) are what a model is
            given, ``conditioning`` what it is told besides, ``target`` what it must not be given; ``bookkeeping``
            (a group, an index) is for metrics alone.
        unit: of its values.
        low, high: physical range of its finite values.
    """

    name: str
    role: Role
    unit: str
    low: float = -math.inf
    high: float = math.inf
