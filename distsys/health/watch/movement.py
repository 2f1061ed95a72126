"""How far weights moved, and whether units stay alike: from samples of the matrices that optimisers hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from distsys.health.causes import NOTHING_LEARNED, RATE_ZERO, SYMMETRIC
from distsys.health.verdict import Verdict
from distsys.health.watch.check import Check
from distsys.health.watch.events import Held
from distsys.health.watch.run import Run

MATRICES, ENTRIES = 48, 1024
MIN_STEPS = 20


@dataclass
class Sample:
    """Entries of one parameter: at the start, and before the step that is looked at."""

    parameter: Tensor
    start: Tensor
    before: Tensor
    update: float = 0.0

    def now(self) -> Tensor:
        """The same entries now."""
        return sample(self.parameter)


def sample(parameter: Tensor) -> Tensor:
    """At most :data:`ENTRIES` entries of it, evenly spread."""
    flat = parameter.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // ENTRIES)][:ENTRIES].clone()


class Movement(Check):
    """Displacement of matrices since the first step, and the size of updates; others ask for them."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.samples: dict[int, Sample] = {}
        self._rates: dict[int, float] = {}
        self._alike: dict[int, int] = {}

    def on_step(self, held: Held) -> None:
        if held.steps == 0:
            matrices = [item for item in held.parameters() if item.ndim >= 2][:MATRICES]
            for item in matrices or held.parameters()[:MATRICES]:
                first = sample(item)
                self.samples.setdefault(id(item), Sample(item, first, first))
        rate = held.rate()
        self._rates[id(held)] = max(self._rates.get(id(held), rate), rate)
        if self.run.looking:
            for item in held.parameters():
                if id(item) in self.samples:
                    self.samples[id(item)].before = self.samples[id(item)].now()

    def on_stepped(self, held: Held) -> None:
        if not self.run.looking:
            return
        for item in held.parameters():
            if id(item) in self.samples:
                kept = self.samples[id(item)]
                kept.update = _ratio(kept.now() - kept.before, kept.before)
        if held.steps == MIN_STEPS:
            self._judge_units(held)

    def _judge_units(self, held: Held) -> None:
        alive = dict(zip(map(id, held.parameters()), held.alive, strict=True))
        for item in held.parameters():
            wide = item.ndim == 2 and item.shape[0] >= 4 and item.shape[1] >= 2 and alive.get(id(item))
            if wide and bool((item == item[:1]).all()) and bool((item != 0).any()):
                evidence = f"all {item.shape[0]} rows of a matrix are equal after {MIN_STEPS} steps"
                self.found(SYMMETRIC, "stop", evidence, step=0)

    def displacement(self) -> float:
        """Median over matrices of how far each went, relative to where it began."""
        moved = [_ratio(item.now() - item.start, item.start) for item in self.samples.values()]
        return median(moved) if moved else float("nan")

    def update(self) -> float:
        """Median over matrices of the last update that was looked at, relative to the weights."""
        return median([item.update for item in self.samples.values()]) if self.samples else float("nan")

    def finish(self) -> Iterator[Verdict]:
        for held in self.run.held.values():
            kept = [self.samples[id(item)] for item in held.parameters() if id(item) in self.samples]
            if held.steps < MIN_STEPS or not kept or not any(held.alive):
                continue
            if any(bool((item.now() != item.start).any()) for item in kept):
                continue
            if self._rates[id(held)] == 0.0:
                yield RATE_ZERO.verdict("stop", f"the rate was 0 at all {held.steps} steps; nothing moved", step=0)
            else:
                evidence = f"no weight changed in {held.steps} steps at a rate of {self._rates[id(held)]:g}"
                yield NOTHING_LEARNED.verdict("warn", evidence, step=0)


def _ratio(change: Tensor, base: Tensor) -> float:
    size = float(torch.linalg.vector_norm(base.float()))
    moved = float(torch.linalg.vector_norm(change.float()))
    return moved / size if size else (float("inf") if moved else 0.0)
