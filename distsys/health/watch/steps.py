"""Orders of a step: AMP scaling, clipping, and the schedule against real steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from distsys.health.causes import SCALED_STEP, SCHEDULE_ORDER, SCHEDULE_PACE, STEP_ORDER, UNSCALED_STEP
from distsys.health.verdict import Verdict
from distsys.health.watch.check import Check
from distsys.health.watch.events import Held
from distsys.health.watch.run import Run

TIMES = 3
TINY = 1e-4
"""Of its largest value: a rate below it moves nothing for the rest of the run."""


class Scaling(Check):
    """Gradients are scaled once, unscaled once, and clipped in between never. Flags fall at backward: AMP may skip."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._scaled: Any = None
        self._pending: Any = None
        self._unscaled: set[int] = set()
        self._through: set[int] = set()
        self._counts = {"clip": 0, "step": 0, "unscaled": 0}

    def on_scale(self, scaler: Any, loss: Any) -> None:
        self._pending = scaler

    def on_backward(self, loss: Tensor) -> None:
        self._scaled, self._pending = self._pending, None
        self._unscaled.clear()
        self._through.clear()

    def on_unscale(self, scaler: Any, optimizer: Optimizer) -> None:
        self._unscaled.add(id(optimizer))

    def on_scaler_step(self, scaler: Any, optimizer: Optimizer) -> None:
        self._through.add(id(optimizer))
        if self._scaled is None and float(scaler.get_scale()) != 1.0:
            self._count("unscaled", "scaler.step divided gradients by its scale, but the loss was not multiplied by it")

    def on_clip(self, parameters: list[Tensor]) -> None:
        if self._scaled is None or float(self._scaled.get_scale()) == 1.0:
            return
        clipped = {id(item) for item in parameters}
        for held in self.run.held.values():
            if id(held.optimizer) not in self._unscaled and any(id(item) in clipped for item in held.parameters()):
                scale = float(self._scaled.get_scale())
                self._count("clip", f"gradients were clipped while they were {scale:g} times too large")
                return

    def on_step(self, held: Held) -> None:
        key = id(held.optimizer)
        if self._scaled is None or key in self._unscaled or key in self._through:
            return
        if float(self._scaled.get_scale()) != 1.0:
            self._count("step", f"optimizer.step() with gradients {float(self._scaled.get_scale()):g} times too large")

    def _count(self, what: str, evidence: str) -> None:
        self._counts[what] += 1
        if self._counts[what] == TIMES:
            cause = {"clip": STEP_ORDER, "step": SCALED_STEP, "unscaled": UNSCALED_STEP}[what]
            fix = "call scaler.unscale_(optimizer) before clipping" if what == "clip" else ""
            verdict = cause.verdict("stop", f"{evidence}, {TIMES} times", step=max(0, self.run.step - TIMES), fix=fix)
            self.run.found.setdefault(cause.name, verdict)


class Schedules(Check):
    """Steps of schedules against tries of their optimiser: a step that AMP skipped counts as tried."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._tries: dict[int, int] = {}
        self._idle: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._schedules: dict[int, Any] = {}
        self._rates: dict[int, list[float]] = {}

    def on_scaler_step(self, scaler: Any, optimizer: Optimizer) -> None:
        self._tries[id(optimizer)] = self._tries.get(id(optimizer), 0) + 1

    def on_stepped(self, held: Held) -> None:
        key = id(held.optimizer)
        if not self.run.scaled:
            self._tries[key] = self._tries.get(key, 0) + 1
        rate = held.rate()
        largest, tiny, first = self._rates.setdefault(key, [rate, 0.0, -1.0])
        if rate < TINY * largest:
            tiny, first = tiny + 1, first if first >= 0 else float(self.run.step)
        else:
            tiny, first = 0.0, -1.0
        self._rates[key] = [max(largest, rate), tiny, first]

    def on_schedule(self, scheduler: Any) -> None:
        optimizer = getattr(scheduler, "optimizer", None)
        if optimizer is None:
            return
        key, tries = id(scheduler), self._tries.get(id(optimizer), 0)
        self._schedules[key] = scheduler
        self._done[key] = self._done.get(key, 0) + 1
        if self._done[key] == 1 and tries == 0:
            self.found(SCHEDULE_ORDER, "warn", "the schedule stepped before the first step of its optimiser")
        if tries == self._idle.get(key, 0) and self._done[key] > 1:
            self._idle[-key] = self._idle.get(-key, 0) + 1
        self._idle[key] = tries

    def finish(self) -> Iterator[Verdict]:
        for key, scheduler in self._schedules.items():
            steps, tries = self._done[key], self._tries.get(id(scheduler.optimizer), 0)
            idle = self._idle.get(-key, 0)
            if idle >= TIMES and idle > steps / 4 and tries:
                evidence = f"{steps} steps of the schedule in {tries} of the optimiser"
                yield SCHEDULE_PACE.verdict("warn", evidence, step=0)
            horizon = getattr(scheduler, "T_max", None)
            if isinstance(horizon, int) and steps > 2 * horizon and steps >= tries:
                evidence = f"{steps} steps of a cosine that ends after {horizon}: the rate went up and down again"
                yield SCHEDULE_PACE.verdict("warn", evidence, step=horizon)
            largest, tiny, first = self._rates.get(id(scheduler.optimizer), [0.0, 0.0, -1.0])
            if tries >= 20 and tiny > tries / 2:
                evidence = f"the rate was below {TINY:g} of its largest, {largest:g}, in {tiny:.0f} of {tries} steps"
                yield SCHEDULE_PACE.verdict("warn", evidence, step=int(first))
