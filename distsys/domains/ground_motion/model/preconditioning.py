"""A denoiser of unit scale, and the noise levels it is trained at: Karras et al. 2022 (EDM, arXiv 2206.00364).

Everything is relative to ``sigma_data``, the measured standard deviation of what is diffused.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.data.operators import normal
from distsys.shapes import Float

RELATIVE_MIN, RELATIVE_MAX = 0.004, 160.0
"""Noise levels over sigma_data: 0.002 and 80 for a sigma_data of 0.5."""
_LOG_MEAN, _LOG_SPREAD = -1.2 + math.log(2.0), 1.2
"""Of noise levels in training, over sigma_data."""
_EVEN_SHARE = 0.1
"""Noise levels in training drawn evenly over the logarithm of the whole range, so that no step of a sampler is new."""


class Scalings(NamedTuple):
    """Table 1, [batch] each."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def scalings(sigma: Float[Tensor, " batch"], sigma_data: Float[Tensor, ""]) -> Scalings:
    """What makes input, output and target of the network of unit variance at noise level ``sigma``."""
    c_in = (sigma.square() + sigma_data.square()).rsqrt()
    return Scalings((sigma_data * c_in).square(), sigma * sigma_data * c_in, c_in, sigma.log() / 4.0)


def loss_weight(sigma: Float[Tensor, " batch"], sigma_data: Float[Tensor, ""]) -> Float[Tensor, " batch"]:
    """lambda(sigma) of table 1, 1 / c_out^2: every noise level counts the same."""
    return (sigma.square() + sigma_data.square()) / (sigma * sigma_data).square()


class Preconditioned(nn.Module):
    """A denoiser of unit scale inside and out, whatever the scale of the data (table 1).

    Args:
        network: from noisy input, a function of its noise level [batch] and its conditioning to something of its shape.
    """

    sigma_data: Tensor

    def __init__(self, network: nn.Module, sigma_data: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("sigma_data", sigma_data.clone())

    def forward(
        self, noisy: Float[Tensor, "batch channels time"], sigma: Float[Tensor, " batch"], conditioning: Tensor
    ) -> Float[Tensor, "batch channels time"]:
        """What ``noisy`` is expected to be without noise (eq. 7)."""
        c_skip, c_out, c_in, c_noise = scalings(sigma, self.sigma_data)
        found = self.network(c_in[:, None, None] * noisy, c_noise, conditioning)
        return c_skip[:, None, None] * noisy + c_out[:, None, None] * found

    def denoised(
        self, clean: Float[Tensor, "batch channels time"], conditioning: Tensor, *, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """``clean`` itself, ``denoised`` from noise of a drawn level for each item, and the ``weight`` of its error."""
        sigma = training_levels(len(clean), self.sigma_data, generator=generator)
        noise = normal(*clean.shape, generator=generator, device=clean.device)
        denoised = self(clean + sigma[:, None, None] * noise, sigma, conditioning)
        return {"clean": clean, "denoised": denoised, "weight": loss_weight(sigma, self.sigma_data)}


def training_levels(count: int, sigma_data: Tensor, *, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Log-normal around levels that matter; one in ten anywhere between the ends of :func:`samplers.sampling_grid`."""
    low, high = math.log(RELATIVE_MIN), math.log(RELATIVE_MAX)
    even, where = torch.rand(2, count, generator=generator, device=generator.device).to(sigma_data.device)
    drawn = normal(count, generator=generator, device=sigma_data.device)
    usual = (_LOG_MEAN + _LOG_SPREAD * drawn).clamp(low, high)
    return torch.where(even < _EVEN_SHARE, low + (high - low) * where, usual).exp() * sigma_data
