"""The grid on which spectra are searched: uniform in (u, v, q), as fine as the surface resolves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from distsys.domains.ris_localization.data.geometry import Surface, to_physical
from distsys.shapes import Float

_CELLS_PER_BEAM = 5.0
_CELLS_PER_FOCUS = 3.0


@dataclass(frozen=True)
class Grid:
    """Points uniform in (u, v, q), about five to a beamwidth: 10,080 for 8x8.

    Args:
        axes: u, v and q, float64.
        surface: points outside its region are never peaks.
    """

    axes: tuple[Tensor, Tensor, Tensor]
    surface: Surface

    @classmethod
    def of(cls, surface: Surface) -> Grid:
        """The grid that covers the region of ``surface``."""
        ends_u, ends_v = math.sin(surface.max_phi_rad), math.sin(surface.max_theta_rad)
        beam_u, beam_v = surface.beamwidths
        nearest, farthest = 1.0 / surface.min_range_m, 1.0 / surface.max_range_m
        counts = [
            _even(2 * ends_u / beam_u * _CELLS_PER_BEAM),
            _even(2 * ends_v / beam_v * _CELLS_PER_BEAM),
            max(4, round((nearest - farthest) / surface.depth_of_focus * _CELLS_PER_FOCUS)),
        ]
        spans = [(-ends_u, ends_u), (-ends_v, ends_v), (farthest, nearest)]
        u, v, q = (
            torch.linspace(low, high, num, dtype=torch.float64) for (low, high), num in zip(spans, counts, strict=True)
        )
        return cls((u, v, q), surface)

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.axes[0]), len(self.axes[1]), len(self.axes[2])

    @cached_property
    def points(self) -> Float[Tensor, "points 3"]:
        """(u, v, q) of every point, q fastest."""
        return torch.cartesian_prod(*self.axes)

    @cached_property
    def outside(self) -> Tensor:
        """Points [u, v, q] more than one cell outside the region: azimuth is curved in (u, v)."""
        step = self.axes[0][1] - self.axes[0][0]
        phi = to_physical(self.points)[:, 0].abs()
        cosine = (1.0 - self.points[:, 1].square()).sqrt() * math.cos(self.surface.max_phi_rad)
        return (phi > self.surface.max_phi_rad + step / cosine).reshape(self.shape)


def _even(number: float) -> int:
    return 2 * math.ceil(number / 2)
