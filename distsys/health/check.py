"""A check, and what it sees: one training step as it was, nothing of the loop that took it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from distsys.health.verdict import Verdict
from distsys.specs import FieldSpec, TermSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from distsys.health.eigen import Eigen
    from distsys.health.flight.battery import Battery

ZERO_HEAD_STEPS = 4
"""A head that begins at zero hides the gradient of all that stands before it for this many steps."""


@dataclass(frozen=True)
class Update:
    """What the optimiser was given in one step.

    Args:
        is_taken: whether parameters moved; a step with a gradient that is not finite is skipped.
        norm: of the whole gradient after the backward pass, loss scale removed.
        norm_used: of what the optimiser was given; NaN in a skipped step.
        limit: norm to which gradients are clipped, or None.
        learning_rate: that the optimiser used; NaN in a skipped step.
        scheduled_rate: what the schedule says after as many real steps as the optimiser has taken.
        stale: parameters that had a gradient before the backward pass.
        held: ids of the parameters that the optimiser holds.
    """

    is_taken: bool
    norm: float
    norm_used: float
    limit: float | None
    learning_rate: float
    scheduled_rate: float
    stale: tuple[str, ...]
    held: frozenset[int]


@dataclass(frozen=True)
class View:
    """One training step.

    Args:
        step: counted from 1, skipped ones too.
        planned_steps: of the whole run.
        model: after the step; its parameters hold the gradients that the optimiser was given.
        batch, outputs: tensors of the step, detached.
        trained: outputs that a gradient can pass.
        terms: each loss term, unweighted.
        weights: of each term, by the term's name.
        moved: each term when every item is given the outputs of another; empty at most looks.
        live: share of items whose outputs get a gradient of the term, by its name; empty at some looks.
        columns: squared norm of the objective's gradient with respect to an output that answers a field with columns,
            by output and kind of column; empty where ``live`` is.
        gradients: norm of each trainable parameter's gradient before clipping; None where it has none.
        ran: modules that were called, by id; True when gradients were recorded in them.
        unweighted: parameters that only terms of weight zero reach.
        update: what the optimiser was given.
        start: some values of each parameter before the first step.
        eigen: the eigendecomposition with the nearest eigenvalues, if one ran.
        shares: each term's share of the gradient norm, where the loop has just measured it.
        battery: to be asked why a term stays at chance, where the loop can run a copy of the model.
    """

    step: int
    planned_steps: int
    model: nn.Module
    batch: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    trained: frozenset[str]
    terms: Mapping[str, float]
    weights: Mapping[str, float]
    moved: Mapping[str, float]
    live: Mapping[str, float]
    gradients: Mapping[str, float | None]
    ran: Mapping[int, bool]
    unweighted: frozenset[str]
    update: Update
    start: Mapping[str, Tensor]
    term_specs: Mapping[str, TermSpec]
    field_specs: Mapping[str, FieldSpec]
    eigen: Eigen | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    battery: Battery | None = None
    columns: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def progress(self) -> float:
        """Share of the planned steps, 0 to 1."""
        return self.step / self.planned_steps

    @property
    def is_warm(self) -> bool:
        """Whether a head that began at zero has let gradients pass by now."""
        return self.step > ZERO_HEAD_STEPS


class Check(Protocol):
    """Looks at steps and says what is wrong now; what it remembers is small and plain."""

    name: str
    at_validation: bool
    """Whether it judges :attr:`View.shares`, at validations, instead of steps."""

    def look(self, view: View) -> Sequence[Verdict] | None:
        """What is wrong at ``view``; empty when healthy, None where it cannot tell and what it said stands.

        Changes neither tensors nor random states.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        ...
