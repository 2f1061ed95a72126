"""What a domain declares of its metrics, loss terms and tensors: plain facts that checks and the core both judge by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["max", "min"]
Role = Literal["input", "noisy input", "conditioning", "target", "bookkeeping"]
Kind = Literal["trivial", "peer", "bound"]


@dataclass(frozen=True)
class MetricSpec:
    """The metric that is optimised and that chooses a checkpoint; never the loss.

    Args:
        ties_by: of two validations whose difference is below the noise floor, the one that is better by this metric is
            taken; without it the earlier one.
    """

    name: str
    direction: Direction
    unit: str
    ties_by: MetricSpec | None = None

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
        spread: band of the standard deviation of a batch of it, where it is known: what is scaled twice leaves it.
        columns: kind of each place along the last axis (gain, frequency, Q), where these are quantities of their own
            and not samples of one signal; places of one kind are judged together.
    """

    name: str
    role: Role
    unit: str
    low: float = -math.inf
    high: float = math.inf
    spread: tuple[float, float] | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generation:
    """What a generative model does, in training and when it is sampled, on the same items.

    Args:
        training_levels: noise levels that training drew; empty where nothing is diffused.
        sampling_levels: noise levels that the sampler visits, without the final 0.
        assumed_spread, measured_spread: standard deviation of what is diffused, as the model and as the data have it.
        guarded: metric of each constraint that holds by construction, whatever was learned, to its value on samples.
    """

    training_levels: Tensor
    sampling_levels: Tensor
    assumed_spread: float
    measured_spread: float
    guarded: Mapping[str, float]


@dataclass(frozen=True)
class RoundTrip:
    """Something that was encoded and decoded again.

    Args:
        original, decoded: [items, ...] each, in ``unit``; NaN of the original is not compared.
        low, high: physical range, where it is declared; else that of the original.
    """

    original: Tensor
    decoded: Tensor
    unit: str
    low: float = -math.inf
    high: float = math.inf
