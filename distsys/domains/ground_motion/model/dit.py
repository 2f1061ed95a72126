"""A transformer over tokens of samples (DiT: Peebles and Xie 2022, arXiv 2212.09748)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.data.operators import WINDOW
from distsys.domains.ground_motion.model.blocks import NoiseEmbedding, SelfAttention, attention, folded, zero_init

_TOKEN = 32
"""Samples of a token."""
_OLD_BLEND = 0.7
_MLP_RATIO = 2


class SignalDiT(nn.Module):
    """Denoises a motion by tokens that attend to each other and to those of the conditioning.

    Args:
        fixed_blend: as the original did it, 0.7 of what attention to the conditioning found and 0.3 of what was
            there, in place of a gate: five blocks leave 0.3^5 of what they were given.
    """

    def __init__(self, conditioning: int, *, width: int, blocks: int, dropout: float, fixed_blend: bool) -> None:
        super().__init__()
        self.embed = NoiseEmbedding(width)
        self.proj_in, self.context_in = nn.Linear(_TOKEN, width), nn.Linear(_TOKEN * conditioning, width)
        self.position = nn.Parameter(0.02 * torch.randn(WINDOW // _TOKEN, width))
        self.encoder = nn.ModuleList(SelfAttention(width) for _ in range(2))
        self.blocks = nn.ModuleList(_DiTBlock(width, dropout, fixed_blend) for _ in range(blocks))
        self.proj_out = zero_init(nn.Linear(width, _TOKEN))

    def forward(self, noisy: Tensor, noise: Tensor, conditioning: Tensor) -> Tensor:
        """[batch, 1, time], like ``noisy``."""
        embedding = self.embed(noise)
        x = self.proj_in(folded(noisy, _TOKEN).mT) + self.position
        context = self.context_in(folded(conditioning, _TOKEN).mT) + self.position
        for layer in self.encoder:
            context = layer(context.mT).mT
        for block in self.blocks:
            x = block(x, context, embedding)
        return self.proj_out(x).reshape(noisy.shape)


class _DiTBlock(nn.Module):
    """Self-attention, attention to the conditioning, MLP: each behind a gate that starts at 0 (adaLN-Zero)."""

    def __init__(self, width: int, dropout: float, fixed_blend: bool) -> None:
        super().__init__()
        self.fixed_blend = fixed_blend
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(3))
        self.self_attention = attention(width)
        self.cross_attention = attention(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, _MLP_RATIO * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(_MLP_RATIO * width, width)
        )
        self.modulation = zero_init(nn.Linear(width, 9 * width))

    def forward(self, x: Tensor, context: Tensor, embedding: Tensor) -> Tensor:
        """Scale, shift and gate of each of the three parts come from ``embedding``."""
        parts = self.modulation(embedding)[:, None].chunk(9, dim=-1)
        inner = self._modulated(0, x, parts)
        x = x + parts[2] * self.self_attention(inner, inner, inner, need_weights=False)[0]
        found = self.cross_attention(self._modulated(1, x, parts), context, context, need_weights=False)[0]
        x = _OLD_BLEND * found + (1.0 - _OLD_BLEND) * x if self.fixed_blend else x + parts[5] * found
        return x + parts[8] * self.mlp(self._modulated(2, x, parts))

    def _modulated(self, number: int, x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
        return self.norms[number](x) * (1.0 + parts[3 * number]) + parts[3 * number + 1]
