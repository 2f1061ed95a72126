"""Three-dimensional MUSIC, batched over scenes: spectrum on a grid, its peaks, and their refinement.

In signal-subspace form ||U_n^H a||^2 = 1 - ||U_s^H a||^2, which needs K columns in place of N - K.
Source: Schmidt 1986; near field: Huang and Barkat 1991.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.domains.ris_localization.data.geometry import Surface
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.descent import Expansion, descend
from distsys.domains.ris_localization.model.grid import Grid
from distsys.shapes import Complex, Float

_REFINE_STEPS, _DAMPING = 10, 1e-2
_SAME_PEAK = 0.1
"""Peaks nearer than this, in beamwidths and depths of focus, are one."""
_PEAK_BONUS = 2.0
"""Puts local maxima before all other points of a spectrum that lies in 0 to 1."""
_LEAST_REMAINDER = 0.02
"""Nearer to a projected source than this share of a steering vector's energy, nothing can be told apart."""
_CHUNK = 128


class Music:
    """MUSIC of one surface; its dictionary is made once.

    Args:
        surface: geometry and region.
        steering: the wave, the same one that data and loss use.
    """

    def __init__(self, surface: Surface, steering: Steering) -> None:
        self.grid, self._surface, self._steering = Grid.of(surface), surface, steering
        self._dictionary = steering.vectors(self.grid.points).to(torch.complex64)
        beam_u, beam_v = surface.beamwidths
        self._scale = torch.tensor([beam_u, beam_v, surface.depth_of_focus], dtype=torch.float64)

    def spectrum(self, subspace: Complex[Tensor, "scenes elements sources"]) -> Float[Tensor, "scenes u v q"]:
        """||U_s^H a||^2 on the grid, 0 to 1; 1 where a lies in the span of ``subspace`` (orthonormal)."""
        num_scenes, _, num_sources = subspace.shape
        columns = subspace.to(torch.complex64).movedim(1, 0).reshape(subspace.shape[1], -1)
        matched = self._dictionary.to(columns.device).conj() @ columns
        power = torch.view_as_real(matched).square().sum(dim=-1)
        return power.reshape(-1, num_scenes, num_sources).sum(dim=-1).T.reshape(num_scenes, *self.grid.shape)

    def peaks(self, spectrum: Float[Tensor, "scenes u v q"], *, count: int) -> Float[Tensor, "scenes count 3"]:
        """(u, v, q) of the ``count`` highest local maxima, float64; the highest points where there are fewer."""
        allowed = spectrum.masked_fill(self.grid.outside.to(spectrum.device), -math.inf)
        ranked = torch.where(allowed == _highest_around(allowed), allowed + _PEAK_BONUS, allowed).flatten(1)
        index = ranked.topk(count, dim=1).indices
        return self.grid.points.to(spectrum.device)[index]

    def refine(
        self, uvq: Float[Tensor, "scenes peaks 3"], subspace: Complex[Tensor, "scenes elements sources"]
    ) -> tuple[Float[Tensor, "scenes peaks 3"], Float[Tensor, "scenes peaks"]]:
        """Each peak moved to its minimum of 1 - ||U_s^H a||^2 by Levenberg-Marquardt in complex128, and that value."""
        basis, shape = subspace.to(torch.complex128), uvq.shape

        def expand(flat: Tensor) -> Expansion:
            cost, slope, curvature = self._expand(flat.reshape(shape), basis)
            return cost.flatten(), slope.flatten(0, 1), curvature.flatten(0, 1)

        best, cost = descend(
            uvq.double().flatten(0, 1), expand, clamp=self._surface.clamp, steps=_REFINE_STEPS, damping=_DAMPING
        )
        return best.reshape(shape), cost.reshape(shape[:2])

    def candidates(
        self, subspace: Complex[Tensor, "scenes elements sources"], *, count: int
    ) -> tuple[Float[Tensor, "scenes candidates 3"], Float[Tensor, "scenes candidates"]]:
        """The ``count`` highest peaks and one from behind the highest, refined, best first, and 1 - ||U_s^H a||^2."""
        pieces = [self._candidates(piece, count) for piece in subspace.split(_CHUNK)]
        uvq, cost = (torch.cat(item) for item in zip(*pieces, strict=True))
        return uvq, cost

    def _candidates(self, subspace: Tensor, count: int) -> tuple[Tensor, Tensor]:
        uvq, cost = self.refine(self.peaks(self.spectrum(subspace), count=count), subspace)
        if subspace.shape[2] > 1:
            highest = uvq.gather(1, cost.argmin(dim=1)[:, None, None].expand(-1, 1, 3))[:, 0]
            behind = self.deflated(subspace, highest).masked_fill(self.grid.outside.to(highest.device), -math.inf)
            start = self.grid.points.to(highest.device)[behind.flatten(1).argmax(dim=1)][:, None]
            hidden = self.refine(start, subspace)
            uvq, cost = torch.cat([uvq, hidden[0]], dim=1), torch.cat([cost, hidden[1]], dim=1)
        order = (cost + self._repeats(uvq, cost)).argsort(dim=1, stable=True)
        return uvq.gather(1, order[..., None].expand_as(uvq)), cost.gather(1, order)

    def deflated(
        self, subspace: Complex[Tensor, "scenes elements sources"], uvq: Float[Tensor, "scenes 3"]
    ) -> Float[Tensor, "scenes u v q"]:
        """The spectrum with the source at ``uvq`` projected out: two sources under one peak come apart.

        Source: RAP-MUSIC, Mosher and Leahy 1999.
        """
        known = self._steering.vectors(uvq)[..., None].to(subspace)
        residual = subspace - known @ (known.mH @ subspace)
        _, vectors = torch.linalg.eigh(residual.mH @ residual)
        basis = torch.linalg.qr(residual @ vectors[..., 1:]).Q
        remaining = (1.0 - self.spectrum(known)).clamp(min=_LEAST_REMAINDER)
        return self.spectrum(basis) / remaining

    def _repeats(self, uvq: Tensor, cost: Tensor) -> Tensor:
        """1 for a peak that came to rest on a better one, 0 for the others."""
        gap = (uvq[:, :, None] - uvq[:, None]).div(self._scale.to(uvq)).norm(dim=-1)
        position = torch.arange(cost.shape[1], device=cost.device)
        earlier = position[None, :] < position[:, None]
        beaten = (cost[:, None, :] < cost[:, :, None]) | ((cost[:, None, :] == cost[:, :, None]) & earlier)
        return (beaten & (gap < _SAME_PEAK)).any(dim=2).to(cost)

    def _expand(self, uvq: Tensor, basis: Tensor) -> Expansion:
        vectors, derivatives = self._steering.with_derivatives(uvq)
        waves = torch.cat([vectors[:, :, None], derivatives], dim=2)
        outside = waves - (waves @ basis.conj()[:, None]) @ basis.mT[:, None]
        residual, slopes = outside[:, :, 0], outside[:, :, 1:]
        cost = torch.view_as_real(residual).square().sum(dim=(-2, -1))
        slope = -(slopes.conj() * residual[:, :, None]).real.sum(dim=-1)
        return cost, slope, (slopes.conj() @ slopes.mT).real


def _highest_around(values: Float[Tensor, "scenes u v q"]) -> Float[Tensor, "scenes u v q"]:
    """The maximum over the 27 points around each; axis by axis: 0.1 ms a scene, max_pool3d takes 0.8."""
    for axis in (1, 2, 3):
        wide = values.clone()
        inner = values.shape[axis] - 1
        wide.narrow(axis, 0, inner).copy_(torch.maximum(wide.narrow(axis, 0, inner), values.narrow(axis, 1, inner)))
        wide.narrow(axis, 1, inner).copy_(torch.maximum(wide.narrow(axis, 1, inner), values.narrow(axis, 0, inner)))
        values = wide
    return values
