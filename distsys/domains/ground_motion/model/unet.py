"""A U-Net over samples (Ronneberger et al. 2015): convolutions on three time scales, attention on the coarsest."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.model.blocks import GatedConv, NoiseEmbedding, SelfAttention, folded, zero_init

_PATCH = 4
_STRIDE = 4
"""Between two levels."""


class UNet(nn.Module):
    """Denoises a motion, conditioned on channels over time."""

    def __init__(self, conditioning: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.embed = NoiseEmbedding(width)
        sizes = (width, width, 2 * width)
        self.proj_in = nn.Conv1d(_PATCH * (1 + conditioning), width, 1)
        self.down = nn.ModuleList(_Pair(size, dropout, width) for size in sizes)
        self.downsample = nn.ModuleList(nn.Conv1d(a, b, _STRIDE, stride=_STRIDE) for a, b in pairwise(sizes))
        self.attention = SelfAttention(sizes[-1])
        self.upsample = nn.ModuleList(nn.ConvTranspose1d(b, a, _STRIDE, stride=_STRIDE) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(_Pair(size, dropout, width) for size in sizes[:-1])
        self.proj_out = zero_init(nn.Conv1d(width, _PATCH, 1))

    def forward(self, noisy: Tensor, noise: Tensor, conditioning: Tensor) -> Tensor:
        """[batch, 1, time], like ``noisy``."""
        embedding = self.embed(noise)
        x = self.proj_in(folded(torch.cat((noisy, conditioning), dim=1), _PATCH))
        skipped = []
        for pair, downsample in zip(self.down, self.downsample, strict=False):
            skipped.append(pair(x, embedding))
            x = downsample(skipped[-1])
        x = self.attention(self.down[-1](x, embedding))
        for pair, upsample in reversed(list(zip(self.up, self.upsample, strict=True))):
            x = pair(skipped.pop() + upsample(x), embedding)
        return self.proj_out(x).transpose(1, 2).reshape(noisy.shape)


class _Pair(nn.ModuleList):
    """Two blocks, one after the other."""

    def __init__(self, width: int, dropout: float, embedding: int) -> None:
        super().__init__(GatedConv(width, dropout=dropout, embedding=embedding) for _ in range(2))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for block in self:
            x = block(x, embedding)
        return x
