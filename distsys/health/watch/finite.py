"""NaN and infinity: in which step, in which innermost module or operation, and after which update."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from distsys.health.causes import NOT_FINITE
from distsys.health.nested import tensors
from distsys.health.watch.check import Check
from distsys.health.watch.events import Call, Held
from distsys.health.watch.run import Run

AMP_TIMES = 12
"""Losses in a row that an AMP scaler may skip while it looks for its scale."""
NODES = 400
SMALL = 4096
"""Nodes of a graph that are looked at; entries of a gradient that is summed at every step."""
_POLES = {"LogBackward0": "log", "SqrtBackward0": "sqrt", "DivBackward0": "division", "RsqrtBackward0": "rsqrt",
          "LinalgVectorNormBackward0": "norm", "PowBackward0": "power", "AcosBackward0": "acos"}  # fmt: skip


class Finite(Check):
    """The loss at every backward on a CPU; on a GPU at the steps that are looked at."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._times = 0
        self._bad = ""
        self._unscaled: Tensor | None = None
        self._ends: dict[int, list[Tensor]] = {}

    def on_scale(self, scaler: Any, loss: Any) -> None:
        self._unscaled = loss if isinstance(loss, Tensor) else None

    def on_backward(self, loss: Tensor) -> None:
        if loss.is_cuda and not self.run.looking:
            return
        loss, self._unscaled = loss if self._unscaled is None else self._unscaled, None
        if _finite(loss):
            self._times = 0
            return
        self._times += 1
        if NOT_FINITE.name in self.run.found or self._times < (AMP_TIMES if self.run.scaled else 1):
            return
        where = self._bad or self._updated() or _in_module(self.run) or _in_graph(loss)
        evidence = f"the loss is {float(loss.detach().float().mean()):g}{': ' + where if where else ''}"
        self.found(NOT_FINITE, "stop", evidence)

    def on_backward_done(self, loss: Tensor) -> None:
        if self._bad or self.run.scaled or (loss.is_cuda and not self.run.looking):
            return
        for held in self.run.held.values():
            if self.run.looking or id(held) not in self._ends:
                self._ends[id(held)] = _ends(held)
            if not all(_finite(item.grad) for item in self._ends[id(held)]):
                pole = _in_graph(loss)
                self._bad = f"gradients were not finite at step {self.run.step}{', ' + pole if pole else ''}"
                self.found(NOT_FINITE, "stop", self._bad)
                return

    def on_step(self, held: Held) -> None:
        if self.run.looking and not self._bad and not all(value < float("inf") for value in held.largest):
            self._bad = f"gradients were not finite at step {self.run.step}"
            self.found(NOT_FINITE, "stop", self._bad)

    def _updated(self) -> str:
        for module in self.run.modules():
            for name, item in module.named_parameters():
                if not bool(torch.isfinite(item).all()):
                    return f"{name} is not finite after the update of step {self.run.step}"
        return ""


def _ends(held: Held) -> list[Tensor]:
    """Its first and last small parameter with a gradient: what breaks in backward reaches the first."""
    small = [item for item in held.parameters() if item.grad is not None and item.numel() <= SMALL]
    return [small[0], small[-1]] if small else []


def _finite(item: Tensor | None) -> bool:
    if item is None or item.is_sparse:
        return True
    total = item.detach() if item.numel() == 1 else item.detach().sum()
    value = total.item()
    return math.isfinite(abs(value))


def _in_module(run: Run) -> str:
    """The innermost module whose output is not finite although its inputs are, found by one more forward of a copy."""
    for call in run.calls.values():
        if call.output is None or all(bool(torch.isfinite(item).all()) for item in _floats(call.output)):
            continue
        if not all(bool(torch.isfinite(item).all()) for item in _floats((call.args, dict(call.kwargs)))):
            return f"an input of {type(call.module).__name__} is not finite"
        return _innermost(run, call)
    return ""


def _innermost(run: Run, call: Call) -> str:
    twin = copy.deepcopy(call.module)
    names = {id(module): name for name, module in twin.named_modules()}
    culprits: list[str] = []

    def look(module: nn.Module, args: Any, output: Any) -> None:
        inputs = all(bool(torch.isfinite(item).all()) for item in _floats(args))
        if inputs and not culprits and not all(bool(torch.isfinite(item).all()) for item in _floats(output)):
            culprits.append(f"{names.get(id(module), '') or 'the model'} ({type(module).__name__})")

    handles = [module.register_forward_hook(look) for module in twin.modules()]
    with run.aside(), torch.no_grad():
        twin(*call.args, **call.kwargs)
    for handle in handles:
        handle.remove()
    return f"first in {culprits[0]}" if culprits else f"in {type(call.module).__name__}"


def _in_graph(loss: Tensor) -> str:
    """The operation behind ``loss`` that was given a pole: log of 0, division by 0, root of 0."""
    queue: list[Any] = [loss.grad_fn]
    seen: set[Any] = set()
    while queue and len(seen) < NODES:
        node = queue.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        queue.extend(item for item, _ in node.next_functions)
        word = _POLES.get(node.name())
        for saved in _saved(node) if word else ():
            if bool((saved == 0).any()) or (word in ("log", "sqrt") and bool((saved < 0).any())):
                return f"{word} of a value that reaches {float(saved.min()):g}, outside of every module or in one"
    return ""


def _saved(node: Any) -> Iterator[Tensor]:
    """Tensors that a node keeps; after backward they are gone."""
    for name in ("_saved_self", "_saved_other", "_saved_result"):
        try:
            value = getattr(node, name, None)
        except RuntimeError:
            return
        if isinstance(value, Tensor) and not (name == "_saved_self" and node.name() == "DivBackward0"):
            yield value


def _floats(value: Any) -> Iterator[Tensor]:
    return (item for item in tensors(value) if item.is_floating_point())
