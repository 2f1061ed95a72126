"""Deterministic maximum likelihood by variable projection: cost, polish, greedy search, choice among candidates.

The amplitudes are projected out (Golub and Pereyra 1973), the remaining 3 K coordinates are moved by
Levenberg-Marquardt with Kaufman's Jacobian. Everything is batched over scenes, in complex128.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from distsys.domains.ris_localization.data.geometry import Surface
from distsys.domains.ris_localization.data.sensing import Sensing
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.descent import Expansion, descend
from distsys.shapes import Complex, Float

_RIDGE = 1e-9
_POLISH_STEPS, _DAMPING = 15, 1e-3


def projected(
    columns: Complex[Tensor, "scenes groups channels sources"], data: Complex[Tensor, "scenes groups channels any"]
) -> tuple[Tensor, Tensor]:
    """Least-squares amplitudes [scenes, groups, sources, any] of ``data`` in ``columns``, and their residual."""
    gram = columns.mH @ columns
    scale = gram.diagonal(dim1=-2, dim2=-1).real.mean(dim=-1)[..., None, None]
    gram = gram + _RIDGE * scale * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    amplitudes = torch.linalg.solve(gram, columns.mH @ data)
    return amplitudes, data - columns @ amplitudes


class Likelihood:
    """The negative log-likelihood, up to constants, of sources given snapshots: the energy outside their span.

    Args:
        steering, sensing: the model of the field and of its measurement.
        surface: estimates are kept within its region.
    """

    def __init__(self, steering: Steering, sensing: Sensing, surface: Surface) -> None:
        self.steering, self.sensing, self._surface = steering, sensing, surface

    def cost(
        self, uvq: Float[Tensor, "scenes sources 3"], data: Complex[Tensor, "scenes groups channels shots"]
    ) -> Float[Tensor, " scenes"]:
        """Energy of ``data`` outside the span of the sources."""
        _, residual = projected(self.sensing.apply(self.steering.vectors(uvq)), data)
        return _energy(residual)

    def polish(
        self,
        uvq: Float[Tensor, "scenes sources 3"],
        data: Complex[Tensor, "scenes groups channels shots"],
        *,
        steps: int = _POLISH_STEPS,
    ) -> Float[Tensor, "scenes sources 3"]:
        """The nearest minimum of the cost, by at most ``steps`` damped Gauss-Newton steps."""

        def expand(flat: Tensor) -> Expansion:
            return self._expand(flat.reshape(uvq.shape), data)

        def clamp(flat: Tensor) -> Tensor:
            return self._surface.clamp(flat.reshape(uvq.shape)).flatten(1)

        best, _ = descend(uvq.flatten(1), expand, clamp=clamp, steps=steps, damping=_DAMPING)
        return best.reshape(uvq.shape)

    def best_subset(
        self,
        candidates: Float[Tensor, "scenes candidates 3"],
        data: Complex[Tensor, "scenes groups channels shots"],
        *,
        num_sources: int,
    ) -> Float[Tensor, "scenes sources 3"]:
        """The ``num_sources`` candidates that explain most of the data together."""
        subsets = torch.tensor(list(combinations(range(candidates.shape[1]), num_sources)))
        costs = torch.stack([self.cost(candidates[:, subset], data) for subset in subsets])
        chosen = subsets.to(candidates.device)[costs.argmin(dim=0)]
        return candidates.gather(1, chosen[..., None].expand(-1, -1, 3))

    def columns(
        self, uvq: Float[Tensor, "scenes sources 3"]
    ) -> tuple[Complex[Tensor, "scenes groups channels sources"], Complex[Tensor, "scenes groups channels sources 3"]]:
        """What sources look like to the channels, and its derivatives by u, v and q."""
        vectors, derivatives = self.steering.with_derivatives(uvq)
        return self.sensing.apply(vectors), self.sensing.apply(derivatives)

    def _expand(self, uvq: Tensor, data: Tensor) -> Expansion:
        columns, derivatives = self.columns(uvq)
        amplitudes, residual = projected(columns, data)
        return (_energy(residual), *normal_equations(columns, derivatives, amplitudes, residual))


def normal_equations(
    columns: Complex[Tensor, "scenes groups channels sources"],
    derivatives: Complex[Tensor, "scenes groups channels sources 3"],
    amplitudes: Complex[Tensor, "scenes groups sources shots"],
    residual: Complex[Tensor, "scenes groups channels shots"],
) -> tuple[Float[Tensor, "scenes coordinates"], Float[Tensor, "scenes coordinates coordinates"]]:
    """Re(X o D^H E) and Re((D^H P D) o (X X^H)^T), summed over groups: Stoica and Nehorai 1989."""
    slopes = derivatives.flatten(-2)
    _, outside = projected(columns, slopes)
    weights = amplitudes.repeat_interleave(3, dim=2)
    slope = (weights.conj() * (slopes.mH @ residual)).real.sum(dim=(1, 3))
    power = weights.conj() @ weights.transpose(-2, -1)
    curvature = ((slopes.mH @ outside) * power).real.sum(dim=1)
    return slope, curvature


def _energy(residual: Tensor) -> Tensor:
    return torch.view_as_real(residual).square().flatten(1).sum(dim=1)
