"""Scenes taken together by their number of sources, or a few at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distsys.shapes import Float

_CHUNK = 128


def by_number(num_sources: Tensor, solve: Callable[[Tensor, int], tuple[Tensor, ...]]) -> list[Tensor]:
    """``solve(rows, number)`` for each number of sources that occurs; each result for all scenes, in their order."""
    numbers = num_sources.unique().tolist()
    parts = [solve((num_sources == number).nonzero()[:, 0], number) for number in numbers]
    place = num_sources.argsort(stable=True).argsort()
    return [torch.cat(results)[place] for results in zip(*parts, strict=True)]


def padded(
    values: Float[Tensor, "scenes number 3"], *, max_sources: int, value: float = 0.0
) -> Float[Tensor, "scenes sources 3"]:
    """``values`` with rows of ``value`` for absent sources."""
    return torch.nn.functional.pad(values, (0, 0, 0, max_sources - values.shape[1]), value=value)


def in_chunks(solve: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Float[Tensor, ...]:
    """``solve`` on a few scenes at a time: what it keeps in between fits the cache."""
    pieces = zip(first.split(_CHUNK), second.split(_CHUNK), strict=True)
    return torch.cat([solve(*piece) for piece in pieces])
