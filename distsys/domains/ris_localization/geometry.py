"""The surface, the coordinates of a source, and the steering vector: one function for data, loss and inference.

Inside, a source is (u, v, q): direction cosines u = sin(phi) cos(theta), v = sin(theta) and curvature q = 1/r
in 1/m. Angles in radians and ranges in metres appear at the edges, degrees in files and reports only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import SteeringModel
from distsys.shapes import Complex, Float


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


def cartesian_m(physical: Float[Tensor, "*items 3"]) -> Float[Tensor, "*items 3"]:
    """(phi in rad, theta in rad, r in m) to x, y, z in m, z pointing away from the surface."""
    phi, theta, range_m = physical.unbind(-1)
    axes = [phi.sin() * theta.cos(), theta.sin(), phi.cos() * theta.cos()]
    return range_m[..., None] * torch.stack(axes, dim=-1)


@dataclass(frozen=True)
class Steering:
    """Unit-norm steering vectors of a surface under one wave model.

    ``exact`` is the spherical wave; ``fresnel`` its second order in element position; ``paraxial`` drops the
    term -s^2 q/2 of that and is biased off axis (8x8 at 1 m: degrees).

    Args:
        positions_m: [elements, 2].
        wavelength_m: of the carrier.
        model: which wave.
    """

    positions_m: Tensor
    wavelength_m: float
    model: SteeringModel = "exact"

    @classmethod
    def of(cls, surface: Surface, model: SteeringModel = "exact") -> Steering:
        return cls(surface.positions_m(), surface.wavelength_m, model)

    @property
    def wavenumber(self) -> float:
        """k0 in rad/m."""
        return 2.0 * math.pi / self.wavelength_m

    def vectors(self, uvq: Float[Tensor, "*items 3"]) -> Complex[Tensor, "*items elements"]:
        """a with ||a|| = 1, phase k0 (r - d_n), in the complex type that belongs to ``uvq``."""
        return self._wave(self._path(uvq)[0])

    def with_derivatives(
        self, uvq: Float[Tensor, "*items 3"]
    ) -> tuple[Complex[Tensor, "*items elements"], Complex[Tensor, "*items 3 elements"]]:
        """a and its derivatives with respect to u, v and q."""
        path, slopes = self._path(uvq)
        wave = self._wave(path)
        return wave, torch.complex(-wave[..., None, :].imag * slopes, wave[..., None, :].real * slopes) * (
            self.wavenumber
        )

    def _wave(self, path_m: Tensor) -> Tensor:
        phase = self.wavenumber * path_m
        return torch.complex(phase.cos(), phase.sin()) / math.sqrt(path_m.shape[-1])

    def _path(self, uvq: Tensor) -> tuple[Tensor, Tensor]:
        """r - d_n [*items, elements] in m and its gradient [*items, 3, elements], without cancellation at large r."""
        x, y = self.positions_m.to(uvq).unbind(-1)
        u, v, q = (part[..., None] for part in uvq.unbind(-1))
        s, w = x * u + y * v, x.square() + y.square()
        if self.model == "exact":
            rho = (1.0 - 2.0 * q * s + q.square() * w).sqrt()  # d/r
            path = (2.0 * s - q * w) / (rho + 1.0)
            per_s = 1.0 / rho
            per_q = -(w + path * (q * w - s) / rho) / (rho + 1.0)
        else:
            square = s.square() if self.model == "fresnel" else torch.zeros_like(s)
            path = s - 0.5 * q * (w - square)
            per_s = 1.0 + q * s if self.model == "fresnel" else torch.ones_like(s)
            per_q = -0.5 * (w - square)
        return path, torch.stack(torch.broadcast_tensors(x * per_s, y * per_s, per_q), dim=-2)
