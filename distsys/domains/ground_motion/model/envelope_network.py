"""A network for the density of log envelopes: their mean and spread by frame, and how residuals hang together.

Residuals are Gaussian, remembered from frame to frame (an AR(1) process in each band) and correlated between bands.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.envelopes import NUM_INPUTS
from distsys.domains.ground_motion.data.operators import NUM_BANDS, NUM_FRAMES, normal
from distsys.domains.ground_motion.model.blocks import dilated
from distsys.shapes import Float

_SMALLEST_SPREAD, _LARGEST_SPREAD = 0.05, 3.0
_LARGEST_MEMORY = 0.98
_START_MEMORY, _START_ALIKE = 0.85, 0.7
"""Residuals last for a second or so and are much the same in all bands; from nothing they would learn that slowly."""
_LEAST_OWN = 0.05
"""Of a band's residual, before rows are made unit length, that no other band tells."""
_START_SPREAD, _START_WEIGHT = 0.5, 0.01


class EnvelopeNetwork(nn.Module):
    """Mean and spread of log envelopes [bands, frames] from channels [inputs, frames] of the motion below 1 Hz."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.channels
        self.proj_in = nn.Conv1d(NUM_INPUTS, width, 1)
        self.blocks = dilated(width, config.blocks, dropout=config.dropout)
        self.proj_out = nn.Conv1d(width, 2 * NUM_BANDS, 1)
        for parameter in self.proj_out.parameters():
            nn.init.normal_(parameter, std=_START_WEIGHT)
        self.raw_memory = nn.Parameter(torch.full((NUM_BANDS,), math.atanh(_START_MEMORY / _LARGEST_MEMORY)))
        """How much of one frame's residual remains in the next, before a tanh."""
        alike = torch.full((NUM_BANDS, NUM_BANDS), _START_ALIKE).fill_diagonal_(1.0)
        self.coupling = nn.Parameter(torch.linalg.cholesky(alike))
        """Rows of this, made unit length: residuals of bands rise and fall together."""

    def forward(self, inputs: Float[Tensor, "batch channels frames"]) -> tuple[Tensor, Tensor]:
        """Mean and spread, [batch, bands, frames] each."""
        x = self.proj_in(inputs)
        for block in self.blocks:
            x = block(x)
        mean, spread = self.proj_out(x).chunk(2, dim=1)
        spread = (spread + math.log(_START_SPREAD)).exp().clamp(_SMALLEST_SPREAD, _LARGEST_SPREAD)
        return mean - 1.0, spread

    def density(self, inputs: Float[Tensor, "batch channels frames"]) -> dict[str, Tensor]:
        """``mean`` and ``spread`` [batch, bands, frames], ``memory`` [bands], ``correlation_factor`` [bands, bands]."""
        mean, spread = self(inputs)
        return {
            "mean": mean,
            "spread": spread,
            "memory": self.memory(),
            "correlation_factor": self.correlation_factor(),
        }

    def memory(self) -> Float[Tensor, " bands"]:
        """Share of a residual that remains from one frame to the next."""
        return _LARGEST_MEMORY * torch.tanh(self.raw_memory)

    def correlation_factor(self) -> Float[Tensor, "bands bands"]:
        """Lower triangular, rows of unit length."""
        lower = torch.tril(self.coupling, -1) + torch.diag(self.coupling.diagonal().abs().clamp(min=_LEAST_OWN))
        return lower / lower.norm(dim=-1, keepdim=True).clamp(min=1e-6)

    def residuals(self, count: int, *, generator: torch.Generator) -> Float[Tensor, "count bands frames"]:
        """Draws of the process above, of unit spread."""
        noise = normal(count, NUM_BANDS, NUM_FRAMES, generator=generator, device=self.coupling.device)
        news, memory = self.correlation_factor() @ noise, self.memory()
        fresh = (1.0 - memory.square()).sqrt()
        drawn = [news[..., 0]]
        for frame in range(1, NUM_FRAMES):
            drawn.append(memory * drawn[-1] + fresh * news[..., frame])
        return torch.stack(drawn, dim=-1)
