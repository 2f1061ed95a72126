"""Route ``broadband``: the whole motion from a diffusion, as the original did, guided to what is given below 1 Hz."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.diffused import broadband_scale
from distsys.domains.ground_motion.data.operators import WINDOW, lowpass, normal, rms
from distsys.domains.ground_motion.model.diffusing import Diffusing, network_over_samples
from distsys.domains.ground_motion.model.preconditioning import Preconditioned
from distsys.domains.ground_motion.model.samplers import Denoise, guided


class DiffusedBroadband(Diffusing):
    """The motion over a scale of its own."""

    peak_factor: Tensor
    global_rms: Tensor

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        self.denoiser = Preconditioned(network_over_samples(config, 1), statistics["sigma_data"])
        self.register_buffer("peak_factor", statistics["peak_factor"].clone())
        self.register_buffer("global_rms", statistics["global_rms"].clone())

    def outputs(self, motion: Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        """What :meth:`Preconditioned.denoised` gives for the scaled motion, and ``given``, its part below 1 Hz."""
        clean = (motion / broadband_scale(motion, self.config.diffusion.scale, self.global_rms)[:, None])[:, None]
        given = lowpass(clean)
        return {**self.denoiser.denoised(clean, given, generator=generator), "given": given}

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of the whole motion, at a scale that the levels foretell."""
        batch, count = level.shape[:2]
        whole = rms(given)[:, None] * (1.0 + (2.0 * level).exp().sum(dim=-1)).sqrt()
        scale = {
            "raw": torch.ones_like(whole),
            "global_std": self.global_rms.expand_as(whole),
            "record_rms": whole,
            "pga": whole * self.peak_factor,
        }[self.config.diffusion.scale]
        noise = normal(batch * count, 1, WINDOW, generator=generator, device=given.device)
        conditioning = (given[:, None] / scale[..., None]).view(batch * count, 1, WINDOW)
        motion = self._sampled(noise, conditioning, generator=generator).view(batch, count, WINDOW)
        return motion * scale[..., None]

    def _denoise(self, conditioning: Tensor, grid: Tensor) -> Denoise:
        return guided(super()._denoise(conditioning, grid), lowpass, conditioning, largest=grid[0])
