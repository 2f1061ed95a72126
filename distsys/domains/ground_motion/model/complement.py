"""Route ``complement``: the motion above 1 Hz, divided by expected envelopes, from a diffusion."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.diffused import flattened, shaped
from distsys.domains.ground_motion.data.envelopes import NUM_INPUTS, inputs_of
from distsys.domains.ground_motion.data.operators import WINDOW, lowpass, normal, over_time, rms
from distsys.domains.ground_motion.model.diffusing import Diffusing, network_over_samples
from distsys.domains.ground_motion.model.envelope_network import EnvelopeNetwork
from distsys.domains.ground_motion.model.preconditioning import Preconditioned
from distsys.domains.ground_motion.model.synthesis import to_levels
from distsys.shapes import Float


class DiffusedComplement(Diffusing):
    """Expected envelopes, and what is left when bands are divided by them."""

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        self.envelopes = EnvelopeNetwork(config)
        self.denoiser = Preconditioned(network_over_samples(config, NUM_INPUTS + 1), statistics["sigma_data"])

    def outputs(self, motion: Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        """The density of the envelopes, and what :meth:`Preconditioned.denoised` gives for the flattened motion."""
        given = lowpass(motion)
        inputs = inputs_of(given)
        density = self.envelopes.density(inputs)
        clean = flattened(motion, density["mean"].detach())[:, None]
        return {**density, **self.denoiser.denoised(clean, _conditioning(given, inputs), generator=generator)}

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of the motion itself."""
        batch, count = level.shape[:2]
        inputs = inputs_of(given)
        mean = self.envelopes(inputs)[0]
        noise = normal(batch * count, 1, WINDOW, generator=generator, device=given.device)
        conditioning = _conditioning(given, inputs).repeat_interleave(count, dim=0)
        flat = self._sampled(noise, conditioning, generator=generator).view(batch, count, WINDOW)
        return to_levels(shaped(flat, mean), level, given)


def _conditioning(given: Tensor, inputs: Tensor) -> Float[Tensor, "batch channels time"]:
    """What is given, at full rate: the motion itself and its channels by frame."""
    return torch.cat(((given / rms(given)[:, None])[:, None], over_time(inputs)), dim=1)
