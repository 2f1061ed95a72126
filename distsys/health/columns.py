"""Columns of an output: quantities of their own along its last axis, and what each has of gradient and error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from distsys.specs import FieldSpec

ALONE = 0.9999
"""Share of the squared gradient norm: the largest kind has a hundred times the norm of all others together."""
UNDONE = 0.2
"""Error over the target's spread, above which there is something left to learn."""

_ROUNDING = 1e-6
"""Spread of a constant column in float32, relative to its size."""


def answered(output: str, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor],
             fields: Iterable[FieldSpec]) -> str | None:  # fmt: skip
    """The field that ``output`` answers: one of its name, else the only target of its shape."""
    shape = outputs[output].shape
    if output in batch and batch[output].shape == shape:
        return output
    targets = [item.name for item in fields if item.role == "target" and item.name in batch]
    alike = [name for name in targets if batch[name].shape == shape]
    return alike[0] if len(alike) == 1 else None


def by_kind(gradient: Tensor, columns: Sequence[str]) -> Tensor:
    """Squared norm of ``gradient`` [items, ..., columns] in each kind of column, in their order."""
    squares = gradient.detach().float().square().reshape(-1, len(columns)).sum(dim=0)
    kinds = list(dict.fromkeys(columns))
    places = torch.tensor([kinds.index(kind) for kind in columns], device=squares.device)
    return squares.new_zeros(len(kinds)).index_add(0, places, squares)


def errors(output: Tensor, target: Tensor, columns: Sequence[str]) -> dict[str, float]:
    """RMS error over the target's standard deviation, mean of each kind's columns; only of targets that vary."""
    values, wanted = (item.detach().double().reshape(-1, len(columns)) for item in (output, target))
    spread = wanted.std(dim=0, correction=0)
    varies = spread > _ROUNDING * wanted.abs().amax(dim=0)
    relative = ((values - wanted).square().mean(dim=0).sqrt() / spread).tolist()
    found: dict[str, list[float]] = {}
    for kind, error, moves in zip(columns, relative, varies.tolist(), strict=True):
        if moves and math.isfinite(error):
            found.setdefault(kind, []).append(error)
    return {kind: sum(items) / len(items) for kind, items in found.items()}


def alone(squares: Mapping[str, float], share: float = ALONE) -> str | None:
    """The kind with at least ``share`` of the squared gradient norm, where others have some."""
    some = {kind: value for kind, value in squares.items() if value > 0.0}
    if len(some) < 2 or not math.isfinite(sum(squares.values())):
        return None
    first = max(some, key=lambda kind: some[kind])
    return first if some[first] >= share * sum(some.values()) else None
