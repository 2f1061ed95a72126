"""The array or surface as it really is: what is assumed of it, and errors that are drawn once for a site."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distsys.domains.draws import complex_normals, uniforms
from distsys.domains.ris_localization.config import DataConfig, Imperfections, SteeringModel
from distsys.domains.ris_localization.data.geometry import Surface, surface_of
from distsys.domains.ris_localization.data.response import Response
from distsys.domains.ris_localization.data.sensing import Sensing, sensing_of
from distsys.domains.ris_localization.data.steering import Steering, steering_of
from distsys.shapes import Complex

_ELEMENT_SEED, _POSITION_SEED, _DEAD_SEED, _COUPLING_SEED, _CODE_SEED = (0x1A90 + part for part in range(5))
_SEEDS = 5
"""Seeds of one site; the next has the next five."""
_NONE = Imperfections()


@dataclass(frozen=True)
class Site:
    """From sources to channels.

    Args:
        steering: from a source to what the elements receive.
        sensing: from there to the channels.
        noise_root: [channels, channels], complex128, its product with white noise is the noise; None for white.
    """

    steering: Steering
    sensing: Sensing
    noise_root: Tensor | None = None

    def on(self, device: torch.device) -> Site:
        """The same, held on ``device``."""
        root = None if self.noise_root is None else self.noise_root.to(device)
        return Site(self.steering.on(device), self.sensing.on(device), root)

    def noise(
        self, white: Complex[Tensor, "scenes channels snapshots"]
    ) -> Complex[Tensor, "scenes channels snapshots"]:
        """Noise of the site from white noise of the same power."""
        if self.noise_root is None:
            return white
        return (self.noise_root @ white.to(torch.complex128)).to(white.dtype)

    def whitened(self) -> Sensing:
        """Channels in which the noise is white: those that a bound looks at."""
        if self.noise_root is None:
            return self.sensing
        num_elements = len(self.steering.positions_m)
        plain = self.sensing.matrices
        maps = torch.eye(num_elements, dtype=torch.complex128)[None] if plain is None else plain
        return Sensing(torch.linalg.solve(self.noise_root, maps.to(self.noise_root)))


def assumed_site(data: DataConfig, wave: SteeringModel) -> Site:
    """What training and estimators assume, under ``wave``."""
    return Site(steering_of(data, wave), sensing_of(data))


def true_site(data: DataConfig) -> Site:
    """What the frozen sets are made with: waves of ``data.world``, and ``data.imperfections`` of ``data.site``."""
    ideal = Site(Steering.of(surface_of(data), data.world), sensing_of(data))
    return ideal if data.imperfections == _NONE else _imperfect(data, ideal)


def _imperfect(data: DataConfig, ideal: Site) -> Site:
    flaws, surface, draw = data.imperfections, surface_of(data), _SEEDS * data.site
    shifts = flaws.position_share * surface.spacing_m * _normals(surface.num_elements, _POSITION_SEED + draw)
    response = Response(_gains(flaws, surface, draw), _coupling(flaws, surface, draw))
    steering = replace(ideal.steering, positions_m=ideal.steering.positions_m + shifts, response=response)
    sensing = ideal.sensing
    if data.measurement == "coded":
        sensing = sensing_of(data, _realised(flaws, data.phase_bits, _CODE_SEED + draw))
    return Site(steering, sensing, _noise_root(data))


def _normals(count: int, seed: int) -> Tensor:
    """[count, 2] of standard normals, float64."""
    drawn = torch.from_numpy(complex_normals(range(count), seed=seed, num_lanes=1))
    return math.sqrt(2.0) * torch.view_as_real(drawn[:, 0]).double()


def _gains(flaws: Imperfections, surface: Surface, draw: int) -> Tensor:
    log, turn = _normals(surface.num_elements, _ELEMENT_SEED + draw).unbind(1)
    gains = torch.polar(10.0 ** (flaws.gain_db / 20.0 * log), math.radians(flaws.phase_deg) * turn)
    order = uniforms(range(surface.num_elements), seed=_DEAD_SEED + draw, num_lanes=1)[:, 0].argsort()
    gains[torch.from_numpy(order[: round(flaws.dead_share * surface.num_elements)])] = 0.0
    return gains


def _coupling(flaws: Imperfections, surface: Surface, draw: int) -> Tensor | None:
    """I plus what neighbours leak: alike for all pairs of one offset, both ways, with a phase drawn for each offset."""
    if flaws.coupling == 0.0:
        return None
    band = flaws.coupling_band
    width = 2 * band + 1
    angles = 2.0 * math.pi * uniforms(range(width * width), seed=_COUPLING_SEED + draw, num_lanes=1)[:, 0]
    matrix = torch.eye(surface.num_elements, dtype=torch.complex128)
    for (x, y), pairs in offsets(surface, band).items():
        size, angle = flaws.coupling ** math.hypot(x, y), angles[(x + band) * width + y + band]
        matrix = matrix + size * complex(math.cos(angle), math.sin(angle)) * pairs
    return matrix


def offsets(surface: Surface, band: int) -> dict[tuple[int, int], Tensor]:
    """Offsets of up to ``band`` spacings, not their opposites, to the symmetric matrix of such pairs."""
    x, y = torch.meshgrid(torch.arange(surface.num_x), torch.arange(surface.num_y), indexing="ij")
    gap_x, gap_y = (place.flatten()[:, None] - place.flatten()[None] for place in (x, y))
    half = [(i, j) for i in range(band + 1) for j in range(-band, band + 1) if i > 0 or j > 0]
    found = {}
    for i, j in half:
        there = ((gap_x == i) & (gap_y == j)) | ((gap_x == -i) & (gap_y == -j))
        found[i, j] = there.to(torch.complex128)
    return found


def _realised(flaws: Imperfections, phase_bits: int, seed: int) -> Callable[[Tensor], Tensor]:
    """Phases that are asked for to those that each element takes in their place."""
    levels = 2 ** (flaws.code_bits or phase_bits)

    def take(asked: Tensor) -> Tensor:
        states = (asked / (2.0 * math.pi / levels)).round().long() % levels
        elements = asked.shape[-1]
        drawn = complex_normals(range(elements), seed=seed, num_lanes=levels)
        errors = math.sqrt(2.0) * torch.from_numpy(np.ascontiguousarray(drawn.real)).double()
        bias = math.radians(flaws.code_bias_deg) * errors[torch.arange(elements), states]
        return 2.0 * math.pi / levels * states.double() + bias

    return take


def _noise_root(data: DataConfig) -> Tensor | None:
    """A Cholesky factor of rho^distance over elements along x and y, or over antennas in a row."""
    rho = data.imperfections.noise_correlation
    if rho == 0.0:
        return None
    sizes = (data.num_x, data.num_y) if data.measurement == "array" else (data.num_antennas,)
    roots = []
    for size in sizes:
        place = torch.arange(size, dtype=torch.float64)
        roots.append(torch.linalg.cholesky(rho ** (place[:, None] - place[None]).abs()))
    whole = roots[0] if len(roots) == 1 else torch.kron(roots[0], roots[1])
    return whole.to(torch.complex128)
