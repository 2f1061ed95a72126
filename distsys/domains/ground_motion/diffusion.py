"""Diffusion after Karras et al. 2022 (EDM, arXiv 2206.00364): preconditioning, noise levels, samplers.

Everything is relative to ``sigma_data``, the measured standard deviation of what is diffused.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import Sampler
from distsys.domains.ground_motion.operators import normal
from distsys.shapes import Float

_RELATIVE_MIN, _RELATIVE_MAX = 0.004, 160.0
"""Noise levels over sigma_data: 0.002 and 80 for a sigma_data of 0.5."""
_LOG_MEAN, _LOG_SPREAD = -1.2 + math.log(2.0), 1.2
"""Of noise levels in training, over sigma_data."""
_EVEN_SHARE = 0.1
"""Noise levels in training drawn evenly over the logarithm of the whole range, so that no step of a sampler is new."""
_RHO = 7.0

Denoise = Callable[[Tensor, Tensor], Tensor]
"""From a noisy batch [batch, ...] and its noise level, a scalar, to what it is expected to be without noise."""


class Preconditioned(nn.Module):
    """A denoiser of unit scale inside and out, whatever the scale of the data (table 1).

    Args:
        network: from noisy input, a function of its noise level [batch] and what is given to something of its shape.
    """

    sigma_data: Tensor

    def __init__(self, network: nn.Module, sigma_data: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("sigma_data", sigma_data.clone())

    def forward(
        self, noisy: Float[Tensor, "batch channels time"], sigma: Float[Tensor, " batch"], given: Tensor
    ) -> Float[Tensor, "batch channels time"]:
        """What ``noisy`` is expected to be without noise."""
        own = self.sigma_data
        total = (sigma.square() + own.square()).sqrt()[:, None, None]
        level = sigma[:, None, None]
        change = self.network(noisy / total, sigma.log() / 4.0, given)
        return torch.as_tensor((own / total).square() * noisy + level * own / total * change)

    def loss(
        self, clean: Float[Tensor, "batch channels time"], given: Tensor, *, generator: torch.Generator
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch channels time"]]:
        """Weighted squared error of each item at one noise level, and the denoised item.

        Shape: [batch, channels, time] to [batch] and [batch, channels, time].
        Unit: 1; about 1 for a network that says nothing.
        Range: 0 and up.
        Invariant to: scale of the data together with sigma_data.
        Source: Karras et al. 2022, eqs. 7 and 8, table 1.
        """
        sigma = training_levels(len(clean), self.sigma_data, generator=generator)
        noise = normal(*clean.shape, generator=generator, device=clean.device)
        denoised = self(clean + sigma[:, None, None] * noise, sigma, given)
        weight = (sigma.square() + self.sigma_data.square()) / (sigma * self.sigma_data).square()
        return weight * (denoised - clean).square().mean(dim=(-1, -2)), denoised


def training_levels(count: int, sigma_data: Tensor, *, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Log-normal around levels that matter; one in ten anywhere between the ends of :func:`sampling_grid`."""
    low, high = math.log(_RELATIVE_MIN), math.log(_RELATIVE_MAX)
    even, where = torch.rand(2, count, generator=generator, device=generator.device).to(sigma_data.device)
    drawn = normal(count, generator=generator, device=sigma_data.device)
    usual = (_LOG_MEAN + _LOG_SPREAD * drawn).clamp(low, high)
    return torch.where(even < _EVEN_SHARE, low + (high - low) * where, usual).exp() * sigma_data


def sampling_grid(count: int, sigma_data: Tensor) -> Float[Tensor, " levels"]:
    """``count`` falling noise levels and then 0, without which noise of the last level would remain (eq. 5)."""
    ends = [(level * sigma_data) ** (1.0 / _RHO) for level in (_RELATIVE_MAX, _RELATIVE_MIN)]
    place = torch.linspace(0.0, 1.0, count, device=sigma_data.device)
    return torch.cat(((ends[0] + place * (ends[1] - ends[0])) ** _RHO, torch.zeros(1, device=sigma_data.device)))


def guided(denoise: Denoise, lowpass: Callable[[Tensor], Tensor], wanted: Tensor, *, largest: Tensor) -> Denoise:
    """Pulls what is expected towards ``wanted`` below the cutoff, the more the less noise there is."""

    def corrected(noisy: Tensor, sigma: Tensor) -> Tensor:
        expected = denoise(noisy, sigma)
        return expected + (1.0 - sigma / largest) * (wanted - lowpass(expected))

    return corrected


def integrate(
    denoise: Denoise, noise: Tensor, grid: Tensor, *, sampler: Sampler, churn: float, generator: torch.Generator
) -> Tensor:
    """From ``noise`` of unit variance to a sample, along ``grid``.

    Args:
        churn: fresh noise at every step of Euler and Heun, S_churn of Karras et al. 2022, algorithm 2.
    """
    x = noise * grid[0]
    before: Tensor | None = None
    for number in range(len(grid) - 1):
        now, after = grid[number], grid[number + 1]
        if sampler == "dpmpp_2m":
            expected = denoise(x, now)
            x, before = _multistep(x, expected, before, grid, number), expected
            continue
        x, now = _churned(x, now, grid[0], share=churn / (len(grid) - 1), generator=generator)
        slope = (x - denoise(x, now)) / now
        moved = x + (after - now) * slope
        if sampler == "heun" and after > 0:
            slope = 0.5 * (slope + (moved - denoise(moved, after)) / after)
            moved = x + (after - now) * slope
        x = moved
    return x


def num_evaluations(sampler: Sampler, steps: int) -> int:
    """Of the network, for one sample."""
    return 2 * steps - 1 if sampler == "heun" else steps


def _multistep(x: Tensor, expected: Tensor, before: Tensor | None, grid: Tensor, number: int) -> Tensor:
    """DPM-Solver++(2M) in noise levels (Lu et al. 2022, arXiv 2211.01095, algorithm 2)."""
    now, after = grid[number], grid[number + 1]
    if after == 0:
        return expected
    step = (now / after).log()
    if before is not None:
        ratio = (grid[number - 1] / now).log() / step
        expected = expected + (expected - before) / (2.0 * ratio)
    return (after / now) * x - torch.expm1(-step) * expected


def _churned(
    x: Tensor, sigma: Tensor, largest: Tensor, *, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """With more noise, never more than the largest level that training has seen."""
    if share == 0.0:
        return x, sigma
    more = torch.minimum(sigma * (1.0 + min(share, math.sqrt(2.0) - 1.0)), largest)
    fresh = normal(*x.shape, generator=generator, device=x.device)
    return x + (more.square() - sigma.square()).sqrt() * fresh, more
