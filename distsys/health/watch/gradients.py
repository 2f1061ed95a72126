"""Gradients by state: which never come, which are exactly zero, stale, or wiped before the step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from distsys.health.causes import CLEARED_GRADIENTS, DEAD_PARAMETERS, NOT_HELD, OTHER_PARAMETERS, STALE_GRADIENTS
from distsys.health.nested import tensors
from distsys.health.verdict import Verdict
from distsys.health.watch.check import Check
from distsys.health.watch.events import Call, Held, largest_entries
from distsys.health.watch.movement import sample
from distsys.health.watch.run import Run

LOOKS = 12
"""Looks in a row without gradient before a verdict: zero-initialised heads need 4 steps."""
TIMES = 3


class GradientState(Check):
    """Parameters without gradient: ``stop`` over half of all entries, else ``warn`` at the end if it never came."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._silent: dict[int, int] = {}
        self._ever: set[int] = set()
        self._since: dict[int, int] = {}
        self._asleep: dict[int, Tensor] = {}
        self._ungraded: dict[int, nn.Module] = {}

    def on_call(self, call: Call) -> None:
        if not self.run.looking or call.graded:
            return
        if any(item.requires_grad for item in call.module.parameters()):
            self._ungraded[id(call.module)] = call.module

    def on_step(self, held: Held) -> None:
        if not self.run.looking:
            return
        parameters = held.parameters()
        for item, alive in zip(parameters, held.alive, strict=True):
            key = id(item)
            if alive:
                self._ever.add(key)
                self._silent[key] = 0
            else:
                self._silent[key] = self._silent.get(key, 0) + 1
                if self._silent[key] == 1:
                    self._since[key] = self.run.step
                if self._silent[key] == LOOKS:
                    self._asleep[key] = sample(item)
        if _share(parameters, [not alive for alive in held.alive]) > 0.5:
            self.run.look_until(self.run.step + LOOKS + 1)
        self._judge(held, parameters)

    def _judge(self, held: Held, parameters: list[Tensor]) -> None:
        dead = [self._silent[id(item)] >= LOOKS for item in parameters]
        share = _share(parameters, dead)
        if self.run.step + 1 < LOOKS or share <= 0.5 or self._deliberate(parameters, dead):
            return
        if not any(id(item) in self._ever for item in parameters) and _reached_elsewhere(self.run):
            return
        first = min(self._since[id(item)] for item, out in zip(parameters, dead, strict=True) if out)
        names = _named(self.run, [item for item, out in zip(parameters, dead, strict=True) if out])
        evidence = f"{share:.0%} of the entries had no gradient, or exactly 0, in {LOOKS} looks in a row: {names}"
        self.found(DEAD_PARAMETERS, "stop", evidence, step=first)

    def _deliberate(self, parameters: list[Tensor], dead: list[bool]) -> bool:
        """Whether all dead ones belong to modules that run without gradient: somebody froze them."""
        frozen = {id(item) for module in self._ungraded.values() for item in module.parameters()}
        frozen -= {id(item) for module in self.run.modules() for item in module.parameters()}
        return all(id(item) in frozen for item, out in zip(parameters, dead, strict=True) if out)

    def _untouched(self, held: Held, item: Tensor) -> bool:
        """Whether no look missed a gradient: by the optimiser's state, else by the entries themselves."""
        state = held.optimizer.state
        if state:
            moments = [kept for kept in tensors(dict(state.get(item, {}))) if kept.shape == item.shape]
            return all(not bool((kept != 0).any()) for kept in moments)
        return torch.equal(sample(item), self._asleep[id(item)])

    def _confirm(self) -> None:
        """Take back a ``stop`` where looks only missed the steps at which parameters had their turn."""
        for held in self.run.held.values():
            parameters = held.parameters()
            early = [item for item in parameters if id(item) not in self._ever and id(item) in self._asleep]
            missed = {id(item) for item in early if not self._untouched(held, item)}
            dead = [self._silent.get(id(item), 0) >= LOOKS and id(item) not in missed for item in parameters]
            if missed and _share(parameters, dead) <= 0.5:
                self.run.found.pop(DEAD_PARAMETERS.name, None)

    def finish(self) -> Iterator[Verdict]:
        self._confirm()
        for held in self.run.held.values():
            parameters = held.parameters()
            never = [self._silent.get(id(item), 0) >= LOOKS and id(item) not in self._ever for item in parameters]
            alive = any(id(item) in self._ever for item in parameters)
            lost = [item for item, out in zip(parameters, never, strict=True) if out and self._untouched(held, item)]
            never = [any(item is other for other in lost) for item in parameters]
            matrices = any(item.ndim >= 2 for item in lost)  # a bias may cancel, in a difference of two means or a norm
            if matrices and alive and not self._deliberate(parameters, never):
                evidence = f"{len(lost)} of {len(parameters)} tensors never had a gradient: {_named(self.run, lost)}"
                yield DEAD_PARAMETERS.verdict("warn", evidence, step=0)


class GradientOrder(Check):
    """Stale gradients, and gradients cleared between backward and step: by value, whoever does it."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._state: dict[int, dict[str, int]] = {}

    def _of(self, held: Held) -> dict[str, int]:
        fresh = {"fresh": 0, "backwards": 0, "stale": 0, "came": 0, "wiped": 0}
        return self._state.setdefault(id(held), fresh)

    def on_backward(self, loss: Tensor) -> None:
        if not self.run.looking:
            return
        for held in self.run.held.values():
            state = self._of(held)
            state["backwards"] += 1
            if not state["fresh"]:
                state["fresh"] = int(not _present(held))

    def on_backward_done(self, loss: Tensor) -> None:
        if not self.run.looking:
            return
        for held in self.run.held.values():
            state = self._of(held)
            if not state["came"]:
                state["came"] = int(_present(held))

    def on_step(self, held: Held) -> None:
        state = self._of(held)
        if self.run.looking and state["backwards"]:
            state["stale"] = 0 if state["fresh"] else state["stale"] + 1
            state["wiped"] = state["wiped"] + 1 if state["came"] and not any(held.alive) else 0
            if state["stale"] == TIMES:
                evidence = f"at no backward since the last step was a gradient cleared, {TIMES} steps in a row"
                self.found(STALE_GRADIENTS, "stop", evidence, step=max(0, self.run.step - TIMES + 1))
            if state["wiped"] == TIMES:
                evidence = f"backward left gradients, the step found none, {TIMES} steps in a row"
                self.found(CLEARED_GRADIENTS, "stop", evidence, step=max(0, self.run.step - TIMES + 1))
        state.update(fresh=0, backwards=0, came=0)


class HeldParameters(Check):
    """What the optimisers hold against what the loss reaches."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._looks: dict[int, int] = {}
        self._reached: dict[int, tuple[int, Tensor]] = {}
        self._ever: set[int] = set()

    def on_step(self, held: Held) -> None:
        if not self.run.looking:
            return
        self._looks[id(held)] = self._looks.get(id(held), 0) + 1
        if any(held.alive):
            self._ever.add(id(held))
        owned = {id(item) for other in self.run.held.values() for item in other.parameters()}
        for module in [*self.run.modules(), *self.run.inner.values()]:
            for item in module.parameters(recurse=id(module) in self.run.calls) if module.training else ():
                if id(item) not in owned and item.grad is not None:
                    count, _ = self._reached.get(id(item), (0, item))
                    self._reached[id(item)] = count + 1, item
        if id(held) not in self._ever and self._looks[id(held)] == LOOKS and _reached_elsewhere(self.run):
            mine, others = len(held.parameters()), len(self._reached)
            evidence = f"none of its {mine} tensors had a gradient in {LOOKS} looks; {others} of the model's did"
            self.found(OTHER_PARAMETERS, "stop", evidence, step=0)

    def finish(self) -> Iterator[Verdict]:
        owned = {id(item) for held in self.run.held.values() for item in held.parameters()}
        left = [item for key, (count, item) in self._reached.items() if key not in owned and count >= LOOKS]
        left = [item for item, size in zip(left, largest_entries([item.grad for item in left]), strict=True) if size]
        if left and self._ever:
            names = _named(self.run, left)
            yield NOT_HELD.verdict("warn", f"{len(left)} tensors get a gradient and never a step: {names}", step=0)


def _reached_elsewhere(run: Run) -> bool:
    """Whether a module in use has gradients on parameters that no optimiser holds."""
    owned = {id(item) for held in run.held.values() for item in held.parameters()}
    others = [item for module in run.modules() for item in module.parameters() if id(item) not in owned]
    return any(item.grad is not None for item in others)


def _present(held: Held) -> bool:
    """Whether any of its parameters has a gradient that is not zero; looks at the eight first that have one."""
    some = [item.grad for item in held.parameters() if item.grad is not None][:8]
    return any(value != 0.0 for value in largest_entries(list(some)))


def _share(parameters: list[Tensor], chosen: list[bool]) -> float:
    total = sum(item.numel() for item in parameters)
    return sum(item.numel() for item, take in zip(parameters, chosen, strict=True) if take) / max(1, total)


def _named(run: Run, items: list[Tensor]) -> str:
    """Names of parameters in the modules in use, at most three."""
    names = {id(item): name for module in run.modules() for name, item in module.named_parameters()}
    known = [names.get(id(item), f"a tensor of {tuple(item.shape)}") for item in items[:3]]
    return ", ".join(known) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
