"""One watched run: counts its steps, hands events to the checks, and keeps what they found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from distsys.health.causes import CHECK_FAILED
from distsys.health.verdict import Verdict
from distsys.health.watch.check import Check
from distsys.health.watch.events import Call, Held, Loss, largest_entries

DENSE_STEPS = 20
EVERY_STEPS = 50
"""Every step is looked at up to the first number, then each one divisible by the second."""


class Run:
    """State that checks share.

    Attributes:
        step: steps of the optimiser that stepped most.
        looking: whether this step is looked at.
        quiet: while true, nothing is handed on: a check runs the model itself.
        held: every optimiser that stepped, by identity.
        calls: the last call under gradient of every outermost module, by identity.
        inner: modules with parameters of their own that another one called, by identity.
        losses: those computed under gradient since the last step.
        scaled: an AMP scaler is in use.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.step, self.looking, self.quiet, self.strict = 0, True, False, strict
        self.dense_until = DENSE_STEPS
        self.held: dict[int, Held] = {}
        self.calls: dict[int, Call] = {}
        self.inner: dict[int, nn.Module] = {}
        self.losses: list[Loss] = []
        self.scaled = False
        self.backwards = 0
        self.found: dict[str, Verdict] = {}
        self._handlers: dict[str, list[Check]] = {}
        self._checks: list[Check] = []

    def use(self, checks: list[Check]) -> None:
        """Hand events to ``checks``: each one only those that it overrides."""
        self._checks = checks
        for name in (item for item in vars(Check) if item.startswith("on_")):
            self._handlers[name] = [item for item in checks if getattr(type(item), name) is not getattr(Check, name)]

    def tell(self, event: str, *arguments: Any) -> None:
        """Hand an event to the checks that want it. One that fails is taken out and named: the loop goes on."""
        if self.quiet or not self._handlers[event]:
            return
        self.quiet = True
        try:
            with torch.no_grad():
                for check in self._handlers[event]:
                    self._try(check, event, *arguments)
        finally:
            self.quiet = False

    def finish(self) -> list[Verdict]:
        """Every verdict, after the last step."""
        self.quiet = True
        for check in list(self._checks):
            try:
                for verdict in check.finish():
                    self.found.setdefault(verdict.cause, verdict)
            except Exception as error:
                self._drop(check, error)
        return list(self.found.values())

    def _try(self, check: Check, event: str, *arguments: Any) -> None:
        try:
            getattr(check, event)(*arguments)
        except Exception as error:
            self._drop(check, error)

    def _drop(self, check: Check, error: Exception) -> None:
        if self.strict:
            raise error
        self._checks = [item for item in self._checks if item is not check]
        self._handlers = {
            name: [item for item in checks if item is not check] for name, checks in self._handlers.items()
        }
        evidence = f"{type(check).__name__}: {type(error).__name__}: {error}"
        self.found.setdefault(CHECK_FAILED.name, CHECK_FAILED.verdict("ok", evidence, step=self.step))

    def look_until(self, step: int) -> None:
        """Look at every step up to ``step``."""
        self.dense_until = max(self.dense_until, step)

    def holder(self, optimizer: Optimizer) -> Held:
        """What is known of ``optimizer``."""
        return self.held.setdefault(id(optimizer), Held(optimizer))

    def before_step(self, optimizer: Optimizer) -> None:
        """Note gradients if this step is looked at, then tell the checks."""
        held = self.holder(optimizer)
        if self.looking and not self.quiet:
            held.largest = largest_entries([item.grad for item in held.parameters()])
            held.alive = [value != 0.0 for value in held.largest]
        self.tell("on_step", held)

    def after_step(self, optimizer: Optimizer) -> None:
        """Count a step, then tell the checks."""
        if self.quiet:
            return
        held = self.holder(optimizer)
        held.steps += 1
        held.tries += 1
        self.tell("on_stepped", held)
        self.step = max(self.step, held.steps)
        self.looking = self.step < self.dense_until or self.step % EVERY_STEPS == 0
        self.losses = []
        for call in self.calls.values():
            call.output = None

    def modules(self) -> list[nn.Module]:
        """Outermost modules called under gradient."""
        return [call.module for call in self.calls.values()]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Run a model for a check: random states are put back, and nothing is told."""
        quiet, python = self.quiet, random.getstate()
        numbers = _numpy_state()
        self.quiet = True
        try:
            with torch.random.fork_rng(), torch.enable_grad():
                yield
        finally:
            self.quiet = quiet
            random.setstate(python)
            _set_numpy_state(numbers)


def _numpy_state() -> Any:
    import sys

    numpy = sys.modules.get("numpy")
    return None if numpy is None else numpy.random.get_state()


def _set_numpy_state(state: Any) -> None:
    import sys

    if state is not None:
        sys.modules["numpy"].random.set_state(state)
