"""Items by value: the same batch at every step, items that are all alike, data that a step changes in place."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distsys.health.causes import CHANGED_DATA, SAME_BATCH, SAME_ITEMS
from distsys.health.watch.check import Check
from distsys.health.watch.events import Call, Loss, rows
from distsys.health.watch.run import Run

LOOKS, TIMES = 12, 3
ENTRIES, PLACES = 256, 512


@dataclass
class Place:
    """Part of a tensor that came before: what it is a view of, its version, and entries once it came twice."""

    base: weakref.ref[Tensor]
    version: int
    entries: Tensor | None = None


class Items(Check):
    """Looks at the first input of the outermost modules, and at the targets of losses."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._last: dict[int, tuple[int, Tensor]] = {}
        self._same: dict[int, int] = {}
        self._alike: dict[int, int] = {}
        self._iterations = 0
        self._length = 0
        self._places: dict[tuple[Any, ...], Place] = {}
        self._changes: dict[str, int] = {}

    def on_loader(self, loader: Any) -> None:
        try:
            self._length = len(loader)
        except TypeError:
            self._length = 0
        self._iterations += 1

    def on_call(self, call: Call) -> None:
        first = call.first
        if not call.graded or first is None or first.requires_grad:
            return
        self._changed("inputs", first)
        if self.run.looking:
            key = id(call.module)
            self._compare(key, first)
            alike = rows(first) >= 4 and first[0].numel() >= 2 and bool((first == first[:1]).all())
            self._alike[key] = self._alike.get(key, 0) + 1 if alike else 0
            if self._alike[key] == LOOKS:
                evidence = f"the {rows(first)} items of a batch were equal in {LOOKS} looks"
                self.found(SAME_ITEMS, "stop", evidence, step=0)

    def on_loss(self, loss: Loss) -> None:
        if loss.graded and not loss.target.requires_grad:
            self._changed("targets", loss.target)

    def _compare(self, key: int, first: Tensor) -> None:
        """Equal content in another tensor, though the loader has more: it begins anew at every step."""
        entries = _entries(first)
        before, kept = self._last.get(key, (0, entries[:0]))
        another = before != id(first) and before != 0
        equal = another and kept.shape == entries.shape and torch.equal(kept, entries)
        self._same[key] = self._same.get(key, 0) + 1 if equal else 0
        self._last[key] = id(first), entries
        if self._same[key] == LOOKS and self._length > 1 and self._iterations >= LOOKS:
            evidence = (
                f"{LOOKS} steps in a row had equal inputs, though the loader has {self._length} batches "
                f"(it was begun {self._iterations} times)"
            )
            self.found(SAME_BATCH, "stop", evidence, step=max(0, self.run.step - LOOKS))

    def _changed(self, what: str, tensor: Tensor) -> None:
        """The same place of the same storage, written to since, with other content that still follows the old one."""
        base = tensor._base if tensor._base is not None else tensor
        if tensor._is_view() and tensor._base is None:
            return
        key = what, id(base), tensor.storage_offset(), tuple(tensor.shape)
        kept = self._places.get(key)
        if kept is None or kept.base() is not base:
            if len(self._places) < PLACES or kept is not None:
                self._places[key] = Place(weakref.ref(base), tensor._version)
            return
        if kept.entries is None:  # most tensors come once: only at the second time is it worth a copy
            kept.version, kept.entries = tensor._version, _entries(tensor)
            return
        if kept.version == tensor._version:
            return
        now = _entries(tensor)
        if not torch.equal(now, kept.entries) and _follows(now, kept.entries):
            self._changes[what] = self._changes.get(what, 0) + 1
            if self._changes[what] == TIMES:
                evidence = f"{what} that came again at the same place had been written to, {TIMES} times"
                self.found(CHANGED_DATA, "stop", evidence)
        kept.version, kept.entries = tensor._version, now


def _entries(tensor: Tensor) -> Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // ENTRIES)][:ENTRIES].clone()


def _follows(now: Tensor, before: Tensor) -> bool:
    """Whether new entries are made from the old ones: correlated, or mostly equal. Fresh data are neither."""
    if float((now == before).float().mean()) > 0.5:
        return True
    if now.numel() < 8:
        return False
    a, b = now.double() - now.double().mean(), before.double() - before.double().mean()
    size = float(a.norm() * b.norm())
    return size > 0 and abs(float((a * b).sum())) > 0.5 * size
