"""From noise to a sample along falling noise levels, one function a sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import Sampler
from distsys.domains.ground_motion.data.operators import normal
from distsys.domains.ground_motion.model.preconditioning import RELATIVE_MAX, RELATIVE_MIN
from distsys.shapes import Float

_RHO = 7.0
_LARGEST_GROWTH = math.sqrt(2.0) - 1.0

Denoise = Callable[[Tensor, Tensor], Tensor]
"""From a noisy batch [batch, ...] and its noise level, a scalar, to what it is expected to be without noise."""


class Sample(Protocol):
    """A sampler: from ``noise`` of unit variance to a sample, along the levels of ``grid``.

    Args:
        churn: fresh noise on the way, S_churn of Karras et al. 2022, algorithm 2.
    """

    def __call__(
        self, denoise: Denoise, noise: Tensor, grid: Tensor, *, churn: float, generator: torch.Generator
    ) -> Tensor: ...


def sampling_grid(count: int, sigma_data: Tensor) -> Float[Tensor, " levels"]:
    """``count`` falling noise levels and then 0 (Karras et al. 2022, eq. 5).

    Without the 0, noise of the last level would remain.
    """
    ends = [(level * sigma_data) ** (1.0 / _RHO) for level in (RELATIVE_MAX, RELATIVE_MIN)]
    place = torch.linspace(0.0, 1.0, count, device=sigma_data.device)
    return torch.cat(((ends[0] + place * (ends[1] - ends[0])) ** _RHO, torch.zeros(1, device=sigma_data.device)))


def euler(denoise: Denoise, noise: Tensor, grid: Tensor, *, churn: float, generator: torch.Generator) -> Tensor:
    """First order: one evaluation a step."""
    x = noise * grid[0]
    for now, after in pairwise(grid):
        x, now = _churned(x, now, grid, churn=churn, generator=generator)
        x = x + (after - now) * _slope(denoise, x, now)
    return x


def heun(denoise: Denoise, noise: Tensor, grid: Tensor, *, churn: float, generator: torch.Generator) -> Tensor:
    """Second order (Karras et al. 2022, algorithm 2): two evaluations a step, but for the last."""
    x = noise * grid[0]
    for now, after in pairwise(grid):
        x, now = _churned(x, now, grid, churn=churn, generator=generator)
        slope = _slope(denoise, x, now)
        moved = x + (after - now) * slope
        if after > 0:
            moved = x + (after - now) * (0.5 * (slope + _slope(denoise, moved, after)))
        x = moved
    return x


def dpmpp_2m(denoise: Denoise, noise: Tensor, grid: Tensor, *, churn: float, generator: torch.Generator) -> Tensor:
    """DPM-Solver++(2M) in noise levels (Lu et al. 2022, arXiv 2211.01095, algorithm 2): one evaluation a step."""
    assert churn == 0.0, "dpmpp_2m adds no noise"
    x = noise * grid[0]
    before = denoise(x, grid[0])
    step = (grid[0] / grid[1]).log()
    x = _exponential_step(x, before, grid[0], grid[1])
    for now, after in pairwise(grid[1:]):
        expected = denoise(x, now)
        if after == 0:
            return expected
        last, step = step, (now / after).log()
        x = _exponential_step(x, expected + (expected - before) / (2.0 * (last / step)), now, after)
        before = expected
    return x


SAMPLERS: Mapping[Sampler, Sample] = {"euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m}


def num_evaluations(sampler: Sampler, steps: int) -> int:
    """Of the network, for one sample."""
    return 2 * steps - 1 if sampler == "heun" else steps


def guided(denoise: Denoise, lowpass: Callable[[Tensor], Tensor], wanted: Tensor, *, largest: Tensor) -> Denoise:
    """Pulls what is expected towards ``wanted`` below the cutoff, the more the less noise there is."""

    def corrected(noisy: Tensor, sigma: Tensor) -> Tensor:
        expected = denoise(noisy, sigma)
        return expected + (1.0 - sigma / largest) * (wanted - lowpass(expected))

    return corrected


def _slope(denoise: Denoise, x: Tensor, sigma: Tensor) -> Tensor:
    """dx / dsigma of the probability flow (Karras et al. 2022, eq. 3)."""
    return (x - denoise(x, sigma)) / sigma


def _exponential_step(x: Tensor, expected: Tensor, now: Tensor, after: Tensor) -> Tensor:
    """Exact where ``expected`` stays what it is."""
    return (after / now) * x - torch.expm1(-(now / after).log()) * expected


def _churned(
    x: Tensor, sigma: Tensor, grid: Tensor, *, churn: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """With more noise, never more than the largest level that training has seen."""
    if churn == 0.0:
        return x, sigma
    growth = min(churn / (len(grid) - 1), _LARGEST_GROWTH)
    more = torch.minimum(sigma * (1.0 + growth), grid[0])
    fresh = normal(*x.shape, generator=generator, device=x.device)
    return x + (more.square() - sigma.square()).sqrt() * fresh, more
