"""Levenberg-Marquardt on many small problems at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distsys.shapes import Float

Expansion = tuple[Tensor, Tensor, Tensor]
"""Cost [items], negative half slope [items, coordinates], half curvature [items, coordinates, coordinates]."""

_EASE, _STIFFEN = 0.2, 8.0
_LEAST_DAMPING, _MOST_DAMPING = 1e-9, 1e9


def descend(
    start: Float[Tensor, "items coordinates"],
    expand: Callable[[Tensor], Expansion],
    *,
    clamp: Callable[[Tensor], Tensor],
    steps: int,
    damping: float,
) -> tuple[Float[Tensor, "items coordinates"], Float[Tensor, " items"]]:
    """The nearest minima by ``steps`` damped Gauss-Newton steps, and the costs there; no step makes one worse.

    Args:
        expand: the cost and its quadratic model at given coordinates.
        clamp: coordinates to the nearest allowed ones.
        damping: at the start; it follows each item's own progress (Marquardt 1963).
    """
    best = clamp(start)
    loads = torch.full_like(best[:, 0], damping)
    cost, slope, curvature = expand(best)
    for _ in range(steps):
        tried = clamp(best + _step(slope, curvature, loads))
        found = expand(tried)
        better = found[0] < cost
        loads = torch.where(better, loads * _EASE, loads * _STIFFEN).clamp(_LEAST_DAMPING, _MOST_DAMPING)
        best = torch.where(better[:, None], tried, best)
        cost = torch.where(better, found[0], cost)
        slope = torch.where(better[:, None], found[1], slope)
        curvature = torch.where(better[:, None, None], found[2], curvature)
    return best, cost


def _step(slope: Tensor, curvature: Tensor, loads: Tensor) -> Tensor:
    """Marquardt's step: the diagonal of the curvature grows, so that units do not matter."""
    diagonal = curvature.diagonal(dim1=-2, dim2=-1)
    floor = 1e-12 * diagonal.amax(dim=-1, keepdim=True).clamp(min=1e-300)
    loaded = curvature + torch.diag_embed(loads[:, None] * diagonal + floor)
    return torch.linalg.solve(loaded, slope[..., None])[..., 0]
