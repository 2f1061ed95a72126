"""Route ``gaussian``: envelopes from a network with autoregressive Gaussian residuals, filled with noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.envelopes import inputs_of
from distsys.domains.ground_motion.data.operators import lowpass
from distsys.domains.ground_motion.model.envelope_network import EnvelopeNetwork
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.ground_motion.model.synthesis import filled_with_noise


class GaussianEnvelopes(Member):
    """Mean, spread and correlation of log envelopes."""

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        self.network = EnvelopeNetwork(config)

    def outputs(self, motion: Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        """The density of the envelopes, see :meth:`EnvelopeNetwork.density`."""
        return self.network.density(inputs_of(lowpass(motion)))

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of envelopes and of the noise in them."""
        mean, spread = self.network(inputs_of(given))
        batch, count = level.shape[:2]
        residual = self.network.residuals(batch * count, generator=generator).unflatten(0, (batch, count))
        shape = mean[:, None] + spread[:, None] * residual
        return filled_with_noise(given, level, shape, self.spectrum, generator=generator)
