"""The steering vector of a source in the near field: one function for data, loss and inference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import DataConfig, SteeringModel
from distsys.domains.ris_localization.data.array_file import read_array
from distsys.domains.ris_localization.data.geometry import Surface, surface_of
from distsys.domains.ris_localization.data.response import Response
from distsys.shapes import Complex, Float


@dataclass(frozen=True)
class Steering:
    """Steering vectors of a surface under one wave model, of unit norm but for what ``response`` does.

    ``exact`` is the spherical wave; ``fresnel`` its second order in element position; ``paraxial`` drops the
    term -s^2 q/2 of that and is biased off axis (8x8 at 1 m: degrees).

    Args:
        positions_m: [elements, 2].
        wavelength_m: of the carrier.
        model: which wave.
        response: of the elements; None where all receive what reaches them.
    """

    positions_m: Tensor
    wavelength_m: float
    model: SteeringModel = "exact"
    response: Response | None = None

    @classmethod
    def of(cls, surface: Surface, model: SteeringModel = "exact") -> Steering:
        return cls(surface.positions_m(), surface.wavelength_m, model)

    def on(self, device: torch.device) -> Steering:
        """The same wave, its elements held on ``device``."""
        response = None if self.response is None else self.response.on(device)
        return replace(self, positions_m=self.positions_m.to(device), response=response)

    @property
    def wavenumber(self) -> float:
        """k0 in rad/m."""
        return 2.0 * math.pi / self.wavelength_m

    def vectors(self, uvq: Float[Tensor, "*items 3"]) -> Complex[Tensor, "*items elements"]:
        """a with ||a|| = 1, phase k0 (r - d_n), in the complex type that belongs to ``uvq``; then the response."""
        return self._received(self._wave(self._path(uvq)[0]))

    def with_derivatives(
        self, uvq: Float[Tensor, "*items 3"]
    ) -> tuple[Complex[Tensor, "*items elements"], Complex[Tensor, "*items 3 elements"]]:
        """a and its derivatives with respect to u, v and q."""
        path, slopes = self._path(uvq)
        wave = self._wave(path)
        slope = torch.complex(-wave[..., None, :].imag * slopes, wave[..., None, :].real * slopes) * (self.wavenumber)
        return self._received(wave), self._received(slope)

    def _received(self, field: Tensor) -> Tensor:
        return field if self.response is None else self.response.of(field)

    def _wave(self, path_m: Tensor) -> Tensor:
        phase = self.wavenumber * path_m
        return torch.complex(phase.cos(), phase.sin()) / math.sqrt(path_m.shape[-1])

    def position_slopes(self, uvq: Float[Tensor, "*items 3"]) -> Float[Tensor, "*items 2 elements"]:
        """Derivatives of r - d_n with respect to x and y of element n itself, without unit."""
        x, y = self.positions_m.to(uvq).unbind(-1)
        u, v, q = (part[..., None] for part in uvq.unbind(-1))
        s, w = x * u + y * v, x.square() + y.square()
        if self.model == "exact":
            rho = (1.0 - 2.0 * q * s + q.square() * w).sqrt()
            parts = [(u - q * x) / rho, (v - q * y) / rho]
        elif self.model == "fresnel":
            parts = [u - q * (x - s * u), v - q * (y - s * v)]
        else:
            parts = [u - q * x, v - q * y]
        return torch.stack(torch.broadcast_tensors(*parts), dim=-2)

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
    """Steering vectors that are assumed under ``model``: of the nominal surface, or of the array in ``data.array``."""
    surface = surface_of(data)
    if data.array is None:
        return Steering.of(surface, model)
    learned = read_array(data.array, surface)
    return Steering(learned.positions_m, surface.wavelength_m, model, Response(learned.gains))
