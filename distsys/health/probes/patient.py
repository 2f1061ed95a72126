"""Who is examined: an experiment as callables and facts, so that probes need no domain and no loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from distsys.health.verdict import Constraint, Verdict
from distsys.specs import FieldSpec, Generation, MetricSpec, RoundTrip, TermSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

Tensors = Mapping[str, "Tensor"]
NUM_ITEMS = 32
"""Items that a probe looks at, at most: graph and sparse inputs break larger ones, and time is short."""
Probe = Callable[["Patient"], "list[Verdict]"]


@dataclass(frozen=True)
class Evaluated:
    """Metrics, and the selection metric of each item; ``share`` of the items of the frozen set were looked at."""

    metrics: Mapping[str, float]
    items: Sequence[float]
    share: float = 1.0


@dataclass(frozen=True)
class StepFacts:
    """What one real step did.

    Args:
        own_norm: of the gradient of this batch at these weights, computed apart.
        used_norm: of the gradient that the optimiser stepped with.
        rate, expected_rate: learning rate it stepped with, and that of the schedule at this step.
    """

    own_norm: float
    used_norm: float
    rate: float
    expected_rate: float


@dataclass(frozen=True)
class Rehearsal:
    """A model after a few real steps.

    Args:
        reached: number of steps at which each trainable parameter had a gradient that was not zero.
    """

    model: nn.Module
    steps: Sequence[StepFacts]
    reached: Mapping[str, int]


@dataclass(frozen=True)
class Patient:
    """One experiment.

    Args:
        terms, fields, constraints, selection: as declared.
        weights: by phase, weight of each term at a progress of 0 to 1.
        statistics: what the model remembers of the data.
        num_items: of a probe's batch.
        batch: training items at indices and progress.
        frozen: validation items, as many as a probe looks at.
        build: a fresh model, always the same.
        forward: outputs of a model for a batch and a seed; the mode is the caller's.
        loss_terms: unweighted terms of outputs and batch.
        losses: the loss of training and of validation for a model, a batch and a seed.
        rehearse: a few real steps.
        evaluate: metrics of a model on some frozen items; may raise whatever the domain raises.
        settings: learning rate and clipping norm (None: gradients are left alone).
        renoised: the same items with other noise, where the domain offers them.
        round_trip: a batch encoded and decoded again, where the domain offers it.
        generation: what a generative model does, where there is one.
    """

    terms: Sequence[TermSpec]
    fields: Sequence[FieldSpec]
    constraints: Sequence[Constraint]
    selection: MetricSpec
    weights: Mapping[str, Callable[[float], Mapping[str, float]]]
    statistics: Mapping[str, Any]
    num_items: int
    batch: Callable[[Sequence[int], float], Tensors]
    frozen: Tensors
    build: Callable[[], nn.Module]
    forward: Callable[[nn.Module, Tensors, int], Tensors]
    loss_terms: Callable[[Tensors, Tensors], Tensors]
    losses: Callable[[nn.Module, Tensors, int], tuple[float, float]]
    rehearse: Callable[[], Rehearsal]
    evaluate: Callable[[nn.Module], Evaluated]
    learning_rate: float
    grad_clip_norm: float | None = None
    renoised: Callable[[Sequence[int], float], Tensors] | None = None
    round_trip: Callable[[Tensors], Mapping[str, RoundTrip]] | None = None
    generation: Callable[[nn.Module, Tensors], Generation] | None = None

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """A few real steps, made once for all probes."""
        return self.rehearse()

    @cached_property
    def late(self) -> Tensors:
        """Training items as they are at the end of a run, when every curriculum has begun."""
        return self.batch(range(self.num_items), 1.0)

    @cached_property
    def evaluated(self) -> Evaluated:
        """The rehearsed model's metrics."""
        return self.evaluate(self.rehearsal.model)

    def role(self, *roles: str) -> list[FieldSpec]:
        """Fields of these roles that a training batch holds."""
        return [item for item in self.fields if item.role in roles and item.name in self.late]

    def used_terms(self) -> list[TermSpec]:
        """Terms with a weight above 0 somewhere in a phase."""
        places = [0.0, 0.25, 0.5, 0.75, 1.0]
        return [
            term
            for term in self.terms
            if any(weights(place)[term.name] > 0 for weights in self.weights.values() for place in places)
        ]
