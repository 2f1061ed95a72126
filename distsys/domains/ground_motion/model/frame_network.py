"""A network that denoises log envelopes, frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.model.blocks import NoiseEmbedding, dilated, zero_init


class FrameNetwork(nn.Module):
    """Denoises channels over frames, conditioned on other channels over the same frames."""

    def __init__(self, channels: int, conditioning: int, *, width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.embed = NoiseEmbedding(width)
        self.proj_in = nn.Conv1d(channels + conditioning, width, 1)
        self.blocks = dilated(width, blocks, dropout=dropout, embedding=width)
        self.proj_out = zero_init(nn.Conv1d(width, channels, 1))

    def forward(self, noisy: Tensor, noise: Tensor, conditioning: Tensor) -> Tensor:
        """[batch, channels, frames], like ``noisy``."""
        embedding = self.embed(noise)
        x = self.proj_in(torch.cat((noisy, conditioning), dim=1))
        for block in self.blocks:
            x = block(x, embedding)
        return self.proj_out(x)
