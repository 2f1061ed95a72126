"""Small surfaces and scenes for the tests of this domain."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.geometry import Surface, from_physical, surface_of
from distsys.domains.ris_localization.data.steering import Steering

EIGHT = surface_of(DataConfig())


def places(count: int, sources: int, *, surface: Surface = EIGHT, seed: int = 0) -> Tensor:
    """(phi in rad, theta in rad, r in m) of random sources, [count, sources, 3], float64."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(count, sources, 3, dtype=torch.float64, generator=generator)
    low = torch.tensor([-surface.max_phi_rad, -surface.max_theta_rad, surface.min_range_m], dtype=torch.float64)
    high = torch.tensor([surface.max_phi_rad, surface.max_theta_rad, surface.max_range_m], dtype=torch.float64)
    return low + draw * (high - low)


def columns(count: int, sources: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(u, v, q) and steering columns [count, 64, sources], complex128."""
    uvq = from_physical(places(count, sources, seed=seed))
    return uvq, Steering.of(EIGHT).vectors(uvq).mT


def complex_normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)
