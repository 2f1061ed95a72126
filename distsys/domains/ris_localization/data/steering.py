"""The steering vector of a source in the near field: one function for data, loss and inference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import DataConfig, SteeringModel
from distsys.domains.ris_localization.data.geometry import Surface, surface_of
from distsys.shapes import Complex, Float


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

    def on(self, device: torch.device) -> Steering:
        """The same wave, its elements held on ``device``."""
        return replace(self, positions_m=self.positions_m.to(device))

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


def steering_of(data: DataConfig, model: SteeringModel) -> Steering:
    """Steering vectors of the surface under ``model``: ``data.steering`` is assumed, ``data.world`` is true."""
    return Steering.of(surface_of(data), model)
