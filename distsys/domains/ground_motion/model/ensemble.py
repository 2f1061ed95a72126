"""Route ``ensemble``: envelopes drawn in one pass by a network that is given noise, filled with noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.envelopes import inputs_of
from distsys.domains.ground_motion.data.operators import lowpass
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.ground_motion.model.noisy_network import NoisyNetwork
from distsys.domains.ground_motion.model.synthesis import filled_with_noise

DRAWS = 4
"""Of every training window, which are scored together."""


class EnsembleEnvelopes(Member):
    """Draws of log envelopes, trained by how good an ensemble they are."""

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        self.network = NoisyNetwork(config)

    def outputs(self, motion: Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        """``drawn`` [batch, draws, bands, frames]."""
        return {"drawn": self.network(inputs_of(lowpass(motion)), DRAWS, generator=generator)}

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of envelopes and of the noise in them."""
        shape = self.network(inputs_of(given), level.shape[1], generator=generator)
        return filled_with_noise(given, level, shape, self.spectrum, generator=generator)
