"""Codes refined against the curve that they stand for: the encoder's guess, then damped Gauss-Newton steps.

Levenberg (1944) and Marquardt (1963), batched over items; after the first third with weights by which squares stand for
magnitudes, whose mean the metric is (iteratively reweighted least squares).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

from distsys.shapes import Float

STRIDE = 5
"""Of the response's 256 points every fifth is looked at: 52, which begin and end with the grid."""
_SQUARES_SHARE = 1.0 / 3.0
"""Of the steps: those that go for squares, which lead into the neighbourhood."""
_LEAST_DB = 0.05
"""Magnitudes below it weigh alike."""
_DAMPING, _RANGE = 0.3, (1e-4, 1e4)
_DOWN, _UP = 0.3, 4.0
_LEAST_CURVATURE = 1e-3


def refined(
    response_of: Callable[[Tensor], Tensor], latent: Float[Tensor, "items latent"], target_db: Tensor, *, steps: int
) -> Float[Tensor, "items latent"]:
    """Codes whose response is nearer to ``target_db``, none further from it than where it began.

    Deterministic; a code depends on its own item alone, but for the rounding of batched products.

    Args:
        response_of: [items, points] in dB of codes; differentiable forwards.
        target_db: [items, points].
    """
    damping = latent.new_full((len(latent), 1), _DAMPING)
    residual = response_of(latent) - target_db
    best, least = latent, residual.abs().mean(dim=1)
    for step in range(steps):
        counts_magnitudes = step >= _SQUARES_SHARE * steps
        weights = 1.0 / residual.abs().clamp(min=_LEAST_DB) if counts_magnitudes else torch.ones_like(residual)
        tried = latent - _step(_slopes(response_of, latent), residual, weights, damping)
        there = response_of(tried) - target_db
        order = 1.0 if counts_magnitudes else 2.0
        is_better = _cost(there, order) < _cost(residual, order)
        latent = tried.where(is_better[:, None], latent)
        residual = there.where(is_better[:, None], residual)
        damping = torch.where(is_better[:, None], damping * _DOWN, damping * _UP).clamp(*_RANGE)
        error = residual.abs().mean(dim=1)
        best = latent.where((error < least)[:, None], best)
        least = torch.minimum(error, least)
    return best


def _slopes(response_of: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
    """[items, points, latent], all directions of all items in one forward pass."""
    num_items, size = latent.shape
    along = torch.eye(size, dtype=latent.dtype, device=latent.device).repeat_interleave(num_items, dim=0)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(latent.repeat(size, 1), along)
        slopes: Tensor = forward_ad.unpack_dual(response_of(dual)).tangent
    return slopes.view(size, num_items, -1).permute(1, 2, 0)


def _step(slopes: Tensor, residual: Tensor, weights: Tensor, damping: Tensor) -> Tensor:
    weighted = (slopes * weights[..., None]).mT
    curvature, gradient = weighted @ slopes, (weighted @ residual[..., None])[..., 0]
    diagonal = torch.diagonal(curvature, dim1=1, dim2=2).clamp(min=_LEAST_CURVATURE)
    found: Tensor = torch.linalg.solve(curvature + torch.diag_embed(damping * diagonal), gradient)
    return found


def _cost(residual: Tensor, order: float) -> Tensor:
    """NaN where a step led out of what can be computed: it is not better then."""
    return residual.abs().pow(order).mean(dim=1)
