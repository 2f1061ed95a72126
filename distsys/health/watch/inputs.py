"""What inputs do, tried on a copy of the model: inputs that do nothing, items that mix, a future that is seen."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from distsys.health.causes import IGNORED_INPUT, MIXED_ITEMS, SEES_TARGET
from distsys.health.nested import tensors
from distsys.health.watch.check import Check
from distsys.health.watch.events import Call, Loss, rows
from distsys.health.watch.run import Run

AFTER, ITEMS, LARGEST = 4, 32, 20_000_000
"""Steps before a look, for zero-initialised heads; items of a probe; entries of a model that is copied."""


class Inputs(Check):
    """Replays the model in evaluation mode on a few items of a batch with a part of them exchanged."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._done = False
        self._first: Tensor | None = None

    def on_loss(self, loss: Loss) -> None:
        if self._done or not loss.graded or self.run.step < AFTER:
            return
        call = next(iter(self.run.calls.values()), None)
        if call is None or len(self.run.calls) != 1 or call.output is None or call.first is None:
            self._done = len(self.run.calls) > 1
            return
        self._done = True
        if sum(item.numel() for item in call.module.parameters()) <= LARGEST:
            self._probe(call, loss)

    def on_call(self, call: Call) -> None:
        if self._first is None and call.graded and call.first is not None:
            self._first = call.first.detach().reshape(-1)[:64].clone()

    def _probe(self, call: Call, loss: Loss) -> None:
        count = rows(call.first) if call.first is not None else 0
        if count < 4 or any(item.is_sparse or rows(item) not in (0, count) for item in _given(call)):
            return
        if any(item.ndim > 1 and item.shape[1] == count for item in _given(call)):
            return
        with self.run.aside(), torch.no_grad():
            twin = copy.deepcopy(call.module).eval()
            few = min(count, ITEMS)
            args, kwargs = _cut(call.args, count, few), _cut(dict(call.kwargs), count, few)
            base = _output(twin(*args, **kwargs))
            if base is None or not bool(torch.equal(base, _or_empty(_output(twin(*args, **kwargs))))):
                return
            self._influence(twin, args, kwargs, base, few)
            if loss.target.ndim == 1 and rows(loss.target) == count and rows(base) == few and self._fresh(call):
                self._mixing(twin, args, kwargs, base, few)
            self._future(twin, args, kwargs, base, loss, count)

    def _fresh(self, call: Call) -> bool:
        """Whether batches differ from step to step: a whole graph at once is no batch."""
        now = call.first.detach().reshape(-1)[:64] if call.first is not None else None
        return now is not None and self._first is not None and not torch.equal(now, self._first)

    def _influence(self, twin: Any, args: Any, kwargs: Any, base: Tensor, few: int) -> None:
        for index, item in enumerate(tensors((args, kwargs))):
            if rows(item) != few or bool((item == item[:1]).all()):
                continue
            other = _exchanged((args, kwargs), index, lambda found: found.roll(1, 0))
            if torch.equal(_or_empty(_output(twin(*other[0], **other[1]))), base):
                evidence = f"input {index + 1} of shape {tuple(item.shape)} exchanged among items: no output changed"
                self.found(IGNORED_INPUT, "warn", evidence, step=0)

    def _mixing(self, twin: Any, args: Any, kwargs: Any, base: Tensor, few: int) -> None:
        if base.ndim > 1 and base.shape[1] == few:
            return
        half = few // 2
        other = (args, kwargs)
        for index, item in enumerate(tensors(other)):
            if rows(item) == few:
                other = _exchanged(other, index, lambda found: torch.cat([found[:half], found[half:].roll(1, 0)[:1]
                                   .expand_as(found[half:])]))  # fmt: skip
        moved = float((_or_empty(_output(twin(*other[0], **other[1])))[:half] - base[:half]).abs().max())
        if moved > 1e-3 * float(base.abs().max()):
            evidence = f"with the other half of the batch replaced, outputs move by {moved:.2g} in evaluation mode"
            self.found(MIXED_ITEMS, "warn", evidence, step=0)

    def _future(self, twin: Any, args: Any, kwargs: Any, base: Tensor, loss: Loss, count: int) -> None:
        """Targets that are the inputs one place later: then outputs may not depend on what comes later."""
        tokens = next(tensors((args, kwargs)))
        if tokens.ndim != 2 or tokens.is_floating_point() or loss.target.numel() % count:
            return
        target = loss.target.reshape(count, -1)[: len(tokens)]
        length = tokens.shape[1]
        if length < 4 or target.shape != tokens.shape or base.ndim != 3 or base.shape[1] != length:
            return
        if not torch.equal(target[:, :-1], tokens[:, 1:]):
            return
        cut = length // 2
        other = _exchanged((args, kwargs), 0, lambda found: torch.cat([found[:, :cut], found[:, cut:].roll(1, 0)], 1))
        moved = float((_or_empty(_output(twin(*other[0], **other[1])))[:, :cut] - base[:, :cut]).abs().max())
        if moved > 1e-3 * float(base.abs().max()):
            evidence = f"tokens after place {cut} exchanged: outputs before it move by {moved:.2g}"
            self.found(SEES_TARGET, "stop", evidence, step=0)


def _given(call: Call) -> Iterator[Tensor]:
    return tensors((call.args, dict(call.kwargs)))


def _output(value: Any) -> Tensor | None:
    return next((item for item in tensors(value) if item.ndim and item.is_floating_point()), None)


def _or_empty(value: Tensor | None) -> Tensor:
    return torch.empty(0) if value is None else value


def _cut(value: Any, count: int, few: int) -> Any:
    if isinstance(value, Tensor):
        return value.detach()[:few] if rows(value) == count else value.detach()
    if isinstance(value, dict):
        return {key: _cut(item, count, few) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_cut(item, count, few) for item in value)
    return value


def _exchanged(value: Any, index: int, change: Any) -> Any:
    """``value`` with its tensor number ``index`` changed."""
    seen = iter(range(10_000))

    def walk(part: Any) -> Any:
        if isinstance(part, Tensor):
            return change(part) if next(seen) == index else part
        if isinstance(part, dict):
            return {key: walk(item) for key, item in part.items()}
        if isinstance(part, tuple | list):
            return type(part)(walk(item) for item in part)
        return part

    return walk(value)
