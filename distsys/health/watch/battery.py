"""Why a loss is at chance: did weights move, does a copy learn a few items without dropout, and with it?"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from distsys.health.causes import CANNOT_LEARN, DROPOUT, RATE_TOO_HIGH, RATE_TOO_LOW, UNRELATED_TARGETS, Cause
from distsys.health.nested import tensors
from distsys.health.watch.constant import Constant
from distsys.health.watch.events import Call, Loss, rows
from distsys.health.watch.movement import Movement
from distsys.health.watch.run import Run

ITEMS, STEPS, RATE = 8, 150, 3e-3
LEARNED = 0.5
"""Of the constant's loss on the same items."""


class Battery:
    """Asked only on that symptom. Works on copies, with random states put back."""

    MOVED, JUMPS = 0.02, 0.1

    def __init__(self, run: Run, movement: Movement) -> None:
        self._run, self._movement = run, movement

    def why(self, call: Call | None, loss: Loss, constant: Constant) -> tuple[Cause | None, str]:
        """The cause, if one is found, and its evidence."""
        moved, update = self._movement.displacement(), self._movement.update()
        if moved < self.MOVED:
            return RATE_TOO_LOW, f"the median matrix moved {moved:.2%} in {self._run.step} steps"
        if update > self.JUMPS:
            return RATE_TOO_HIGH, f"one update moves the median matrix by {update:.0%}"
        if call is None:
            return None, ""
        try:
            off = self._learns(call, loss, training=False)
            on = self._learns(call, loss, training=True) if off else off
        except Exception as error:
            return None, f"the battery could not replay the model ({type(error).__name__})"
        if off is None:
            return None, ""
        if not off:
            return CANNOT_LEARN, f"a copy did not learn {ITEMS} items in {STEPS} steps"
        if not on:
            return DROPOUT, f"a copy learns {ITEMS} items without dropout, and not with it"
        return UNRELATED_TARGETS, f"a copy learns {ITEMS} items, all of them together are not learned"

    def _learns(self, call: Call, loss: Loss, *, training: bool) -> bool | None:
        """Whether a copy learns a few items; None where its output cannot be matched to the loss."""
        count = next((rows(item) for item in tensors((call.args, dict(call.kwargs)))), 0)
        if count == 0 or rows(loss.target) % count:
            return None
        share = rows(loss.target) // count
        target = loss.target[: ITEMS * share]
        shape = (len(target), *loss.shape[1:])
        with self._run.aside():
            torch.manual_seed(0)
            twin = copy.deepcopy(call.module).train(training)
            for item in twin.parameters():
                item.grad = None
            args, kwargs = _few(call.args, count), _few(dict(call.kwargs), count)
            own = Constant.of([_with(loss, target, shape)])
            if own is None or _fitted(twin(*args, **kwargs), shape) is None:
                return None
            limit = LEARNED * own.value(_with(loss, target, shape))
            optimizer = torch.optim.Adam([item for item in twin.parameters() if item.requires_grad], lr=RATE)
            for _ in range(STEPS):
                optimizer.zero_grad()
                value = loss.again(_matched(twin, args, kwargs, shape), target)
                if value.item() < limit:
                    return True
                value.backward()
                optimizer.step()
        return False


def _matched(twin: nn.Module, args: Any, kwargs: Mapping[str, Any], shape: tuple[int, ...]) -> Tensor:
    found = _fitted(twin(*args, **kwargs), shape)
    assert found is not None
    return found


def _fitted(output: Any, shape: tuple[int, ...]) -> Tensor | None:
    """The tensor of an output that has ``shape``, or has it after a transpose or a reshape."""
    size = torch.Size(shape)
    for item in tensors(output):
        if item.shape == size:
            return item
        if item.ndim == 3 and item.transpose(1, 2).shape == size:
            return item.transpose(1, 2)
        if item.numel() == size.numel():
            return item.reshape(size)
    return None


def _few(value: Any, count: int) -> Any:
    """The first items of every tensor that has ``count`` of them."""
    if isinstance(value, Tensor):
        return value[:ITEMS].detach() if rows(value) == count else value
    if isinstance(value, dict):
        return {key: _few(item, count) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_few(item, count) for item in value)
    return value


def _with(loss: Loss, target: Tensor, shape: tuple[int, ...]) -> Loss:
    return Loss(loss.name, loss.site, loss.prediction, target, loss.value, loss.again, "mean", False, shape)
