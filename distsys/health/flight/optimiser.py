"""What the optimiser was given and when: its parameters, the schedule's position, gradients as the loss made them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distsys.health.causes import OTHER_PARAMETERS, SCHEDULE_ORDER, STEP_ORDER
from distsys.health.check import View
from distsys.health.memory import Remembering
from distsys.health.verdict import Status, Verdict


class HeldParameters(Remembering):
    """Trainable parameters of the model that the optimiser lacks, and parameters it holds that the model lacks.

    Args:
        most: share of either that is a ``stop``; fewer are a ``warn``.
    """

    name = "held_parameters"

    def __init__(self, *, most: float = 0.5) -> None:
        super().__init__()
        self._most = most

    def look(self, view: View) -> Sequence[Verdict]:
        named = dict(view.model.named_parameters())
        trainable = {name: id(item) for name, item in named.items() if item.requires_grad}
        lacking = [name for name, identity in trainable.items() if identity not in view.update.held]
        foreign = view.update.held - {id(item) for item in named.values()}
        self.bad.update(["any"] if lacking or foreign else [], step=view.step)
        if not lacking and not foreign:
            return []
        share = max(len(lacking) / max(1, len(trainable)), len(foreign) / max(1, len(view.update.held)))
        shown = f" ({', '.join(lacking[:3])})" if lacking else ""
        evidence = (
            f"it lacks {len(lacking)} of the model's {len(trainable)} trainable parameters{shown} "
            f"and holds {len(foreign)} that the model does not have"
        )
        status: Status = "stop" if share > self._most else "warn"
        return [OTHER_PARAMETERS.verdict(status, evidence, step=self.bad.onset("any"))]


class ScheduleOrder(Remembering):
    """The learning rate in use is not the schedule's at the number of real steps, ``looks`` in a row (D21).

    Skipped steps move neither, so that they are no alarm.

    Args:
        looks: in a row, of steps that were taken.
        tolerance: relative difference of the two rates.
    """

    name = "schedule_order"

    def __init__(self, *, looks: float = 2, tolerance: float = 1e-9) -> None:
        super().__init__()
        self._looks, self._tolerance = looks, tolerance

    def look(self, view: View) -> Sequence[Verdict]:
        update = view.update
        if not update.is_taken:
            return []
        differs = not math.isclose(update.learning_rate, update.scheduled_rate, rel_tol=self._tolerance)
        self.bad.update(["rate"] if differs else [], step=view.step)
        if self.bad.length("rate") < self._looks:
            return []
        evidence = (
            f"learning rate {update.learning_rate:.6g} where the schedule says {update.scheduled_rate:.6g} "
            "after as many steps as the optimiser took"
        )
        return [SCHEDULE_ORDER.verdict("stop", evidence, step=self.bad.onset("rate"))]


class StepOrder(Remembering):
    """The optimiser is not given the loss's gradient, clipped once: unscaled twice, or clipped before (D20).

    Args:
        looks: in a row, of steps that were taken.
        tolerance: relative difference of the norm from what clipping allows.
    """

    name = "step_order"

    def __init__(self, *, looks: float = 2, tolerance: float = 0.01) -> None:
        super().__init__()
        self._looks, self._tolerance = looks, tolerance

    def look(self, view: View) -> Sequence[Verdict]:
        update = view.update
        if not update.is_taken or not math.isfinite(update.norm):
            return []
        expected = update.norm if update.limit is None else min(update.norm, update.limit)
        differs = not math.isclose(update.norm_used, expected, rel_tol=self._tolerance)
        self.bad.update(["norm"] if differs else [], step=view.step)
        if self.bad.length("norm") < self._looks:
            return []
        limit = "no clipping" if update.limit is None else f"clipped to {update.limit:g}"
        evidence = (
            f"the optimiser was given a gradient of norm {update.norm_used:.4g} where the loss made "
            f"{update.norm:.4g} ({limit})"
        )
        return [STEP_ORDER.verdict("stop", evidence, step=self.bad.onset("norm"))]
