"""Watch any PyTorch loop: ``import distsys.health; distsys.health.watch()`` before it. Needs torch alone."""

from __future__ import annotations

import atexit
import sys
from types import TracebackType

from distsys.health.watch.battery import Battery
from distsys.health.watch.chance import Chance
from distsys.health.watch.check import Check
from distsys.health.watch.choices import Choices, Eigenvalues
from distsys.health.watch.data import Items
from distsys.health.watch.finite import Finite
from distsys.health.watch.gradients import GradientOrder, GradientState, HeldParameters
from distsys.health.watch.hooks import Hooks
from distsys.health.watch.inputs import Inputs
from distsys.health.watch.losses import LossInputs
from distsys.health.watch.modes import Modes
from distsys.health.watch.movement import Movement
from distsys.health.watch.report import Report, ranked
from distsys.health.watch.run import Run
from distsys.health.watch.steps import Scaling, Schedules

__all__ = ["Battery", "Report", "Watch", "watch"]

_active: list[Watch] = []
"""The watch that is on, if any."""


class Watch:
    """A watch over everything that this process trains until :meth:`close`.

    As a context manager it gives its :class:`Report`, which is complete once the block is left. The loop computes
    the same numbers with and without it.
    """

    def __init__(self, *, quiet: bool = False, strict: bool = False) -> None:
        self.report = Report()
        self._quiet = quiet
        self._run = Run(strict=strict)
        self._run.use(_checks(self._run))
        self._hooks = Hooks(self._run)

    def close(self) -> Report:
        """Take the watch away, judge what is known only at the end, and print; a second call does nothing."""
        if self.report.done:
            return self.report
        self.report.done = True
        if self in _active:
            _active.remove(self)
        atexit.unregister(self.close)
        self._hooks.remove()
        self.report.verdicts, self.report.steps = ranked(self._run.finish()), self._run.step
        self._run = Run()
        if not self._quiet:
            sys.stderr.write(f"{self.report}\n")
        return self.report

    def __enter__(self) -> Report:
        return self.report

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def watch(*, quiet: bool = False, strict: bool = False) -> Watch:
    """Watch every loop of this process from here on; verdicts go to standard error at the end, and are returned.

    One watch at a time: an earlier one ends here.

    Args:
        quiet: print nothing.
        strict: a check that fails raises; otherwise it is taken out, named, and the loop goes on.
    """
    for earlier in list(_active):
        earlier.close()
    watching = Watch(quiet=quiet, strict=strict)
    _active.append(watching)
    atexit.register(watching.close)
    return watching


def _checks(run: Run) -> list[Check]:
    movement = Movement(run)
    kinds = (
        Finite, GradientOrder, GradientState, HeldParameters, Scaling, Schedules, LossInputs, Choices, Eigenvalues,
        Modes, Items, Inputs,
    )  # fmt: skip
    return [movement, *(kind(run) for kind in kinds), Chance(run, movement)]
