"""What the three routes that diffuse share: a denoiser, and samples of it in portions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.model.dit import SignalDiT
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.ground_motion.model.preconditioning import Preconditioned
from distsys.domains.ground_motion.model.samplers import SAMPLERS, Denoise, sampling_grid
from distsys.domains.ground_motion.model.unet import UNet

_AT_ONCE = 256
"""Motions that are diffused together."""


class Diffusing(Member):
    """A member whose samples come from a diffusion."""

    denoiser: Preconditioned

    def _sampled(self, noise: Tensor, conditioning: Tensor, *, generator: torch.Generator) -> Tensor:
        """From noise [items, channels, time] and the conditioning of each."""
        settings = self.config.diffusion
        grid, sampler = sampling_grid(settings.steps, self.denoiser.sigma_data), SAMPLERS[settings.sampler]
        return torch.cat(
            [
                sampler(self._denoise(part, grid), start, grid, churn=settings.churn, generator=generator)
                for start, part in zip(noise.split(_AT_ONCE), conditioning.split(_AT_ONCE), strict=True)
            ]
        )

    def _denoise(self, conditioning: Tensor, grid: Tensor) -> Denoise:
        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            return self.denoiser(noisy, sigma.expand(noisy.shape[0]), conditioning)

        return denoise


def network_over_samples(config: ModelConfig, conditioning: int) -> nn.Module:
    """The configured network that denoises a motion beside this many channels of ``conditioning``."""
    settings = config.diffusion
    if settings.network == "unet":
        return UNet(conditioning, width=config.channels, dropout=config.dropout)
    return SignalDiT(
        conditioning,
        width=config.channels,
        blocks=config.blocks,
        dropout=config.dropout,
        fixed_blend=settings.fixed_blend,
    )
