"""What networks over frames and over samples are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.shapes import Float

_DILATIONS = (1, 2, 4, 8, 16)
_FREQUENCIES = 16
_HEADS = 4


class NoiseEmbedding(nn.Module):
    """A vector for ln(sigma) / 4."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.linspace(-1.0, 4.0, _FREQUENCIES))
        self.mlp = nn.Sequential(nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, noise: Float[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Of each item."""
        angle = noise[:, None] * self.frequencies
        return self.mlp(torch.cat((angle.sin(), angle.cos()), dim=-1))


class GatedConv(nn.Module):
    """A residual block of one dilated convolution of three taps; ``embedding`` channels scale and shift its input."""

    def __init__(self, width: int, *, dilation: int = 1, dropout: float = 0.0, embedding: int = 0) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.dilation = dilation
        self.conv = nn.Conv1d(3 * width, 2 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)
        # Of whole channels: a draw for every value costs more than the convolution.
        self.dropout = nn.Dropout1d(dropout)
        self.film = nn.Linear(embedding, 2 * width) if embedding else None

    def forward(
        self,
        x: Float[Tensor, "batch width time"],
        embedding: Tensor | None = None,
        *,
        kept: Float[Tensor, "batch width"] | None = None,
    ) -> Tensor:
        """Of the shape of ``x``; ``kept`` are factors of the block's channels, in place of what dropout draws."""
        inner = self.norm(x)
        if self.film is not None:
            scale, shift = self.film(embedding)[..., None].chunk(2, dim=1)
            inner = inner * (1.0 + scale) + shift
        value, gate = self.conv(self._neighbours(inner)).chunk(2, dim=1)
        found = value * torch.sigmoid(gate)
        return x + self.proj_out(self.dropout(found) if kept is None else found * kept[..., None])

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


class SelfAttention(nn.Module):
    """[batch, width, time] plus what it attends to in itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = attention(width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(x.mT)
        return x + self.attention(inner, inner, inner, need_weights=False)[0].mT


def attention(width: int) -> nn.MultiheadAttention:
    """Over [batch, places, width]."""
    return nn.MultiheadAttention(width, _HEADS, batch_first=True)


def folded(x: Float[Tensor, "batch channels time"], size: int) -> Float[Tensor, "batch more places"]:
    """``size`` neighbouring samples as channels of one place."""
    batch, channels, time = x.shape
    return x.view(batch, channels, time // size, size).transpose(2, 3).reshape(batch, channels * size, -1)


def zero_init(layer: nn.Module) -> nn.Module:
    """The layer with weights and biases of 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
