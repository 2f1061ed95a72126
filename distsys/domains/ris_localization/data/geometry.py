"""The surface, the region that sources come from, and the coordinates of a source.

Inside, a source is (u, v, q): direction cosines u = sin(phi) cos(theta), v = sin(theta) and curvature q = 1/r
in 1/m. Angles in radians and ranges in metres appear at the edges, degrees in files and reports only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import DataConfig
from distsys.shapes import Float, Int
from distsys.specs import RoundTrip


@dataclass(frozen=True)
class Surface:
    """A planar array in the x-y plane, centred on the origin, and the region that sources come from.

    Args:
        num_x, num_y: elements along x and y.
        wavelength_m: of the carrier.
        spacing_m: between neighbours.
        max_phi_rad, max_theta_rad: sources stand within plus and minus these.
        min_range_m, max_range_m: and between these ranges.
    """

    num_x: int
    num_y: int
    wavelength_m: float
    spacing_m: float
    max_phi_rad: float
    max_theta_rad: float
    min_range_m: float
    max_range_m: float

    @property
    def num_elements(self) -> int:
        return self.num_x * self.num_y

    def positions_m(self) -> Float[Tensor, "elements 2"]:
        """x and y of every element, y fastest, float64; their mean is the origin."""
        x, y = (
            self.spacing_m * (torch.arange(num, dtype=torch.float64) - (num - 1) / 2)
            for num in (self.num_x, self.num_y)
        )
        return torch.cartesian_prod(x, y)

    @property
    def beamwidths(self) -> tuple[float, float]:
        """Half-power widths, about, in u and v: wavelength over aperture."""
        return (
            self.wavelength_m / (self.num_x * self.spacing_m),
            self.wavelength_m / (self.num_y * self.spacing_m),
        )

    @property
    def depth_of_focus(self) -> float:
        """Resolution in q, about, in 1/m: the change that bends the field by half a wavelength at a corner."""
        half_diagonal_m = 0.5 * self.spacing_m * math.hypot(self.num_x, self.num_y)
        return self.wavelength_m / half_diagonal_m**2

    def clamp(self, uvq: Float[Tensor, "*items 3"]) -> Float[Tensor, "*items 3"]:
        """The nearest source of the region, in angles and range."""
        physical = to_physical(uvq)
        phi = physical[..., 0].clamp(-self.max_phi_rad, self.max_phi_rad)
        theta = physical[..., 1].clamp(-self.max_theta_rad, self.max_theta_rad)
        range_m = physical[..., 2].clamp(self.min_range_m, self.max_range_m)
        return from_physical(torch.stack([phi, theta, range_m], dim=-1))


def surface_of(data: DataConfig) -> Surface:
    """The geometry that ``data`` describes, in radians and metres."""
    return Surface(
        num_x=data.num_x,
        num_y=data.num_y,
        wavelength_m=data.wavelength_m,
        spacing_m=data.spacing_wavelengths * data.wavelength_m,
        max_phi_rad=math.radians(data.max_phi_deg),
        max_theta_rad=math.radians(data.max_theta_deg),
        min_range_m=data.min_range_m,
        max_range_m=data.max_range_m,
    )


def from_physical(physical: Float[Tensor, "*items 3"]) -> Float[Tensor, "*items 3"]:
    """(phi in rad, theta in rad, r in m) to (u, v, q); :func:`to_physical` is its inverse."""
    phi, theta, range_m = physical.unbind(-1)
    return torch.stack([phi.sin() * theta.cos(), theta.sin(), 1.0 / range_m], dim=-1)


def to_physical(uvq: Float[Tensor, "*items 3"]) -> Float[Tensor, "*items 3"]:
    """(u, v, q) to (phi in rad, theta in rad, r in m); directions outside the unit circle land on its rim."""
    u, v, q = uvq.unbind(-1)
    v = v.clamp(-1.0, 1.0)
    cosine = (1.0 - v.square()).clamp(min=1e-12).sqrt()
    return torch.stack([(u / cosine).clamp(-1.0, 1.0).asin(), v.asin(), 1.0 / q.clamp(min=1e-6)], dim=-1)


def round_trip(uvq: Float[Tensor, "scenes sources 3"], num_sources: Int[Tensor, " scenes"]) -> dict[str, RoundTrip]:
    """(u, v, q) of sources that are there, through angles and ranges and back; in float64, as scenes are made."""
    is_there = torch.arange(uvq.shape[1], device=uvq.device) < num_sources[:, None]
    original = uvq.double()[is_there]
    decoded = from_physical(to_physical(original))
    return {
        name: RoundTrip(original[:, column], decoded[:, column], unit)
        for column, (name, unit) in enumerate((("u", "1"), ("v", "1"), ("q", "1/m")))
    }


def cartesian_m(physical: Float[Tensor, "*items 3"]) -> Float[Tensor, "*items 3"]:
    """(phi in rad, theta in rad, r in m) to x, y, z in m, z pointing away from the surface."""
    phi, theta, range_m = physical.unbind(-1)
    axes = [phi.sin() * theta.cos(), theta.sin(), phi.cos() * theta.cos()]
    return range_m[..., None] * torch.stack(axes, dim=-1)
