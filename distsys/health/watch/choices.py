"""Softmax and argmax over an axis of one, attention that is peaked before training, and nearly equal eigenvalues."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from distsys.health.causes import AXIS_OF_ONE, NEAR_EIGENVALUES, PEAKED_ATTENTION
from distsys.health.verdict import Verdict
from distsys.health.watch.check import Check
from distsys.health.watch.events import Choice
from distsys.health.watch.run import Run

TIMES = 3
MASKED = -1e4
"""A score below it is a mask, not an opinion."""
HALF = 0.5


class Choices(Check):
    """Axis of one at every call of a place, and the entropy of attention before step 1."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._ones: dict[str, list[int]] = {}
        self._entropies: list[float] = []

    def on_choice(self, choice: Choice) -> None:
        if choice.source.ndim == 0 or choice.dim is None:
            return
        length = choice.source.shape[choice.dim]
        several = choice.source.ndim >= 2 and choice.source.shape[0] > 1
        count = self._ones.setdefault(f"{choice.name} at {choice.site}", [0, 0])
        count[0] += int(length == 1 and several)
        count[1] += 1
        last = choice.dim in (-1, choice.source.ndim - 1)
        attention = choice.name == "softmax" and choice.source.ndim >= 3 and length >= 4 and last
        if attention and self.run.step == 0 and choice.source.requires_grad:
            self._entropies.append(_relative_entropy(choice.source.detach()))

    def finish(self) -> Iterator[Verdict]:
        for place, (ones, calls) in self._ones.items():
            if ones >= TIMES and ones == calls:
                yield AXIS_OF_ONE.verdict("warn", f"{_short(place)}: one entry at all {calls} calls", step=0)
        peaked = [value for value in self._entropies if value < HALF]
        if len(peaked) > len(self._entropies) / 2:
            evidence = (
                f"entropy {min(peaked):.0%} of its maximum before step 1 (below {HALF:.0%} at {len(peaked)} places)"
            )
            yield PEAKED_ATTENTION.verdict("warn", evidence, step=0)


def _relative_entropy(scores: Tensor) -> float:
    """Mean over rows of the entropy of their softmax against that of a flat one, masked entries left out."""
    scores = scores.float()
    open_ = scores > MASKED
    count = open_.sum(-1)
    logs = torch.log_softmax(scores.masked_fill(~open_, float("-inf")), -1)
    entropy = -(logs.exp() * logs.masked_fill(~open_, 0.0)).sum(-1)
    wide = count >= 4
    return float((entropy[wide] / count[wide].log()).mean()) if bool(wide.any()) else 1.0


def _short(place: str) -> str:
    name, where = place.split(" at ", 1)
    return f"{name} at {where.rsplit('/', 1)[-1]}"


class Eigenvalues(Check):
    """The smallest gap between eigenvalues whose vectors get a gradient: it is divided by that gap."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.smallest = float("inf")

    def on_eigh(self, source: Tensor, values: Tensor, vectors: Tensor) -> None:
        if values.shape[-1] < 2 or not vectors.requires_grad:
            return
        gaps = values.detach().diff(dim=-1).abs().min(-1).values
        size = values.detach().abs().max(-1).values
        gap = float((gaps / size.clamp_min(torch.finfo(size.dtype).tiny)).min())
        limit = 10 * torch.finfo(size.dtype).eps
        step = self.run.step

        def reached(gradient: Tensor) -> None:
            self.smallest = min(self.smallest, gap)
            if gap < limit and bool((gradient != 0).any()):
                evidence = f"gap {gap:.2g} of the largest eigenvalue, and a gradient through the eigenvectors"
                self.found(NEAR_EIGENVALUES, "warn", evidence, step=step)

        vectors.register_hook(reached)
