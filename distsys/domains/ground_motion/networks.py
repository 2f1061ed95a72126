"""Networks that denoise: a stack over frames, a U-Net over samples, and a transformer over patches."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.operators import WINDOW
from distsys.shapes import Float

_DILATIONS = (1, 2, 4, 8, 16)
_FREQUENCIES = 16
_HEADS = 4
_PATCH = 4
_FALL = 4
"""Between two levels of the U-Net."""
_TOKEN = 32
"""Samples of a token."""
_OLD_BLEND = 0.7
_MLP_RATIO = 2


class NoiseEmbedding(nn.Module):
    """A vector for ln(sigma) / 4."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.linspace(-1.0, 4.0, _FREQUENCIES))
        self.mix = nn.Sequential(nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, noise: Float[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Of each item."""
        angle = noise[:, None] * self.frequencies
        return cast(Tensor, self.mix(torch.cat((angle.sin(), angle.cos()), dim=-1)))


class GatedConv(nn.Module):
    """A residual block of one dilated convolution of three taps; ``embedding`` channels scale and shift its input."""

    def __init__(self, width: int, *, dilation: int = 1, dropout: float = 0.0, embedding: int = 0) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.dilation = dilation
        self.mix = nn.Conv1d(3 * width, 2 * width, 1)
        self.out = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout1d(
            dropout
        )  # of whole channels: a draw for every value costs more than the convolution
        self.film = nn.Linear(embedding, 2 * width) if embedding else None

    def forward(self, x: Float[Tensor, "batch width time"], embedding: Tensor | None = None) -> Tensor:
        """Of the shape of ``x``."""
        inner = self.norm(x)
        if self.film is not None:
            scale, shift = self.film(embedding)[..., None].chunk(2, dim=1)
            inner = inner * (1.0 + scale) + shift
        value, gate = self.mix(self._neighbours(inner)).chunk(2, dim=1)
        return torch.as_tensor(x + self.out(self.dropout(value * torch.sigmoid(gate))))

    def _neighbours(self, x: Tensor) -> Tensor:
        """Each place with those ``dilation`` before and after it as channels: PyTorch's dilated convolution crawls."""
        padded = nn.functional.pad(x, (self.dilation, self.dilation))
        return torch.cat((padded[..., : x.shape[-1]], x, padded[..., -x.shape[-1] :]), dim=1)


def dilated(width: int, blocks: int, *, dropout: float, embedding: int = 0) -> nn.ModuleList:
    """Blocks whose dilations double, over and over."""
    return nn.ModuleList(
        GatedConv(width, dilation=_DILATIONS[number % len(_DILATIONS)], dropout=dropout, embedding=embedding)
        for number in range(blocks)
    )


class FrameNet(nn.Module):
    """Denoises channels over frames, told other channels over the same frames."""

    def __init__(self, channels: int, given: int, *, width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.embed = NoiseEmbedding(width)
        self.enter = nn.Conv1d(channels + given, width, 1)
        self.blocks = dilated(width, blocks, dropout=dropout, embedding=width)
        self.leave = _silent(nn.Conv1d(width, channels, 1))

    def forward(self, noisy: Tensor, noise: Tensor, given: Tensor) -> Tensor:
        """[batch, channels, frames], like ``noisy``."""
        embedding = self.embed(noise)
        x = self.enter(torch.cat((noisy, given), dim=1))
        for block in self.blocks:
            x = block(x, embedding)
        return cast(Tensor, self.leave(x))


class UNet(nn.Module):
    """Denoises a motion, told channels over time: convolutions on three time scales, attention on the coarsest."""

    def __init__(self, given: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.embed = NoiseEmbedding(width)
        sizes = (width, width, 2 * width)
        self.enter = nn.Conv1d(_PATCH * (1 + given), width, 1)
        self.down = nn.ModuleList(_pair(size, dropout, width) for size in sizes)
        self.fall = nn.ModuleList(nn.Conv1d(a, b, _FALL, stride=_FALL) for a, b in pairwise(sizes))
        self.attention = _SelfAttention(sizes[-1])
        self.rise = nn.ModuleList(nn.ConvTranspose1d(b, a, _FALL, stride=_FALL) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(_pair(size, dropout, width) for size in sizes[:-1])
        self.leave = _silent(nn.Conv1d(width, _PATCH, 1))

    def forward(self, noisy: Tensor, noise: Tensor, given: Tensor) -> Tensor:
        """[batch, 1, time], like ``noisy``."""
        embedding = self.embed(noise)
        x = self.enter(_folded(torch.cat((noisy, given), dim=1), _PATCH))
        passed = []
        for number, blocks in enumerate(self.down):
            for block in cast(nn.ModuleList, blocks):
                x = block(x, embedding)
            if number < len(self.fall):
                passed.append(x)
                x = self.fall[number](x)
        x = self.attention(x)
        for number in reversed(range(len(self.rise))):
            x = passed[number] + self.rise[number](x)
            for block in cast(nn.ModuleList, self.up[number]):
                x = block(x, embedding)
        return cast(Tensor, self.leave(x)).transpose(1, 2).reshape(noisy.shape)


class SignalDiT(nn.Module):
    """Denoises a motion by tokens that attend to each other and to those of what is given (Peebles and Xie 2022).

    Args:
        fixed_blend: as the original did it, 0.7 of what attention to the given found and 0.3 of what was there, in
            place of a gate: five blocks leave 0.3^5 of what they were given.
    """

    def __init__(self, given: int, *, width: int, blocks: int, dropout: float, fixed_blend: bool) -> None:
        super().__init__()
        self.embed = NoiseEmbedding(width)
        self.enter, self.hear = nn.Linear(_TOKEN, width), nn.Linear(_TOKEN * given, width)
        self.place = nn.Parameter(0.02 * torch.randn(WINDOW // _TOKEN, width))
        self.encoder = nn.ModuleList(_SelfAttention(width) for _ in range(2))
        self.blocks = nn.ModuleList(_DiTBlock(width, dropout, fixed_blend) for _ in range(blocks))
        self.leave = _silent(nn.Linear(width, _TOKEN))

    def forward(self, noisy: Tensor, noise: Tensor, given: Tensor) -> Tensor:
        """[batch, 1, time], like ``noisy``."""
        embedding = self.embed(noise)
        x = self.enter(_folded(noisy, _TOKEN).mT) + self.place
        known = self.hear(_folded(given, _TOKEN).mT) + self.place
        for layer in self.encoder:
            known = layer(known.mT).mT
        for block in self.blocks:
            x = block(x, known, embedding)
        return cast(Tensor, self.leave(x)).reshape(noisy.shape)


class _DiTBlock(nn.Module):
    """Self-attention, attention to what is given, MLP: each behind a gate that starts at 0."""

    def __init__(self, width: int, dropout: float, fixed_blend: bool) -> None:
        super().__init__()
        self.fixed_blend = fixed_blend
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(3))
        self.attend = nn.MultiheadAttention(width, _HEADS, batch_first=True)
        self.listen = nn.MultiheadAttention(width, _HEADS, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, _MLP_RATIO * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(_MLP_RATIO * width, width)
        )
        self.adapt = _silent(nn.Linear(width, 9 * width))

    def forward(self, x: Tensor, known: Tensor, embedding: Tensor) -> Tensor:
        parts = self.adapt(embedding)[:, None].chunk(9, dim=-1)
        inner = self._adapted(0, x, parts)
        x = x + parts[2] * self.attend(inner, inner, inner, need_weights=False)[0]
        heard = self.listen(self._adapted(1, x, parts), known, known, need_weights=False)[0]
        x = _OLD_BLEND * heard + (1.0 - _OLD_BLEND) * x if self.fixed_blend else x + parts[5] * heard
        return torch.as_tensor(x + parts[8] * self.mlp(self._adapted(2, x, parts)))

    def _adapted(self, number: int, x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
        return torch.as_tensor(self.norms[number](x) * (1.0 + parts[3 * number]) + parts[3 * number + 1])


class _SelfAttention(nn.Module):
    """[batch, width, time] plus what it attends to in itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, _HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(x.mT)
        return torch.as_tensor(x + self.attend(inner, inner, inner, need_weights=False)[0].mT)


def _pair(width: int, dropout: float, embedding: int) -> nn.ModuleList:
    return nn.ModuleList(GatedConv(width, dropout=dropout, embedding=embedding) for _ in range(2))


def _folded(x: Float[Tensor, "batch channels time"], size: int) -> Float[Tensor, "batch more places"]:
    """``size`` neighbouring samples as channels of one place."""
    batch, channels, time = x.shape
    return x.view(batch, channels, time // size, size).transpose(2, 3).reshape(batch, channels * size, -1)


def _silent(layer: nn.Module) -> nn.Module:
    """The layer with weights and biases of 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
