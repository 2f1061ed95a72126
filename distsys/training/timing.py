"""How long the parts of a run take on this machine, measured on a few of its own steps; nothing of it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any, Self

from distsys.domains.protocol import AnyDomain
from distsys.health.monitor import is_looked_at
from distsys.training.checkpoint import directory_of
from distsys.training.context import FitContext
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

WARM_UP, TIMED = 2, 20
"""Steps before and within the measurement: the first ones set up what later ones reuse."""
_SLOW_S = 2.0
"""A validation that takes longer is measured once; a shorter one again, without what only the first one sets up."""


@dataclass(frozen=True)
class Span:
    """Seconds: the lower quartile, the median and the upper quartile of what was measured, or sums of these."""

    low: float
    mid: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Of measured times, at least one."""
        if len(seconds) == 1:
            return cls(seconds[0], seconds[0], seconds[0])
        return cls(*quantiles(seconds, n=4, method="inclusive"))

    @classmethod
    def exactly(cls, seconds: float) -> Self:
        return cls(seconds, seconds, seconds)

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __mul__(self, times: float) -> Span:
        return Span(self.low * times, self.mid * times, self.high * times)


@dataclass(frozen=True)
class Pace:
    """What one run was seen to take.

    Args:
        start_s: until its first step, where its data are there.
        plain: a step that no check looks at.
        looked: a step that they look at.
        save_s: a checkpoint, of ``checkpoint_bytes``.
    """

    spec: RunSpec
    start_s: float
    plain: Span
    looked: Span
    validation_s: float
    save_s: float
    checkpoint_bytes: int

    def seconds(self, spec: RunSpec, *, is_saved: bool) -> Span:
        """The whole of a run of ``spec``, which has this one's phase; ``is_saved`` at each validation."""
        steps, every = spec.steps, spec.eval_every_steps
        health = spec.config.health
        looks = sum(
            is_looked_at(step, every=health.every, due_every=every, steps=steps) for step in range(1, steps + 1)
        )
        looks = looks if health.on else 0
        validations = steps // every + (steps % every > 0)
        once = self.start_s + validations * (self.validation_s + (self.save_s if is_saved else 0.0))
        return Span.exactly(once) + self.plain * (steps - looks) + self.looked * looks

    def content(self) -> dict[str, Any]:
        """Plain values of what was measured."""
        return {
            name: asdict(value) if isinstance(value, Span) else value
            for name, value in vars(self).items()
            if name != "spec"
        }


def measured(spec: RunSpec, domain: AnyDomain, *, folder: Path, device: str) -> Pace:
    """Time the first steps, a validation and a checkpoint of ``spec``; the checkpoint is left in ``folder``.

    Raises:
        StoppedByHealth: its first steps show that going on is pointless.
    """
    began = time.perf_counter()
    run = _TimedRun(FitContext(spec, domain, folder, Workers(pick_device(device)), tracker=None))
    start_s = time.perf_counter() - began
    return run.paced(start_s)


class _TimedRun(Run):
    """A run that goes as far as its pace shows."""

    def paced(self, start_s: float) -> Pace:
        plain: list[float] = []
        looked: list[float] = []
        spec = self._spec
        for _ in range(min(WARM_UP + TIMED, spec.steps)):
            began = time.perf_counter()
            batch = self._train_one()
            passed = time.perf_counter() - began
            is_warm = self.step > WARM_UP or spec.steps <= WARM_UP
            if is_warm and self._is_looked_at():
                looked.append(passed)
            elif is_warm:
                plain.append(passed)
        # Checkpoints hold what was chosen, item by item.
        validation_s = self._seconds(lambda: self.selection.update(self._measured(batch)))
        if validation_s < _SLOW_S:
            validation_s = self._seconds(lambda: self.selection.update(self._measured(batch)))
        save_s = self._seconds(self._save)
        found = directory_of(self._context.folder, self.step)
        size = sum(path.stat().st_size for path in found.iterdir())
        spans = Span.of(plain or looked), Span.of(looked or plain)
        return Pace(spec, start_s, *spans, validation_s, save_s, size)

    def _is_looked_at(self) -> bool:
        health = self._spec.config.health
        due = self._spec.eval_every_steps
        return health.on and is_looked_at(self.step, every=health.every, due_every=due, steps=self._spec.steps)

    @staticmethod
    def _seconds(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
