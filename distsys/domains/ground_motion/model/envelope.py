"""Route ``envelope``: envelopes from a diffusion, filled with noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.envelopes import NUM_INPUTS, inputs_of, shapes_of
from distsys.domains.ground_motion.data.operators import NUM_BANDS, NUM_FRAMES, lowpass, normal
from distsys.domains.ground_motion.model.diffusing import Diffusing
from distsys.domains.ground_motion.model.frame_network import FrameNetwork
from distsys.domains.ground_motion.model.preconditioning import Preconditioned
from distsys.domains.ground_motion.model.synthesis import filled_with_noise


class DiffusedEnvelopes(Diffusing):
    """Log envelopes about their mean over training."""

    mean_shape: Tensor

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        network = FrameNetwork(
            NUM_BANDS, NUM_INPUTS, width=config.channels, blocks=config.blocks, dropout=config.dropout
        )
        self.denoiser = Preconditioned(network, statistics["sigma_data"])
        self.register_buffer("mean_shape", statistics["mean_shape"].clone())

    def outputs(self, motion: Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        """What :meth:`Preconditioned.denoised` gives for the envelopes, and ``expected``, the envelopes themselves."""
        clean = shapes_of(motion) - self.mean_shape
        found = self.denoiser.denoised(clean, inputs_of(lowpass(motion)), generator=generator)
        return {**found, "expected": self.mean_shape + found["denoised"]}

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of envelopes and of the noise in them."""
        batch, count = level.shape[:2]
        noise = normal(batch * count, NUM_BANDS, NUM_FRAMES, generator=generator, device=given.device)
        conditioning = inputs_of(given).repeat_interleave(count, dim=0)
        shape = self.mean_shape + self._sampled(noise, conditioning, generator=generator).unflatten(0, (batch, count))
        return filled_with_noise(given, level, shape, self.spectrum, generator=generator)
