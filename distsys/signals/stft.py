"""Short-time Fourier transform and its inverse, between which every sample can be masked (Allen 1977)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.shapes import Complex, Float


class Stft(nn.Module):
    """Transform of half-overlapping frames under the square root of a Hann window, and back.

    Args:
        size: samples of a frame, an even number.
    """

    window: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.hop = size, size // 2
        self.register_buffer("window", torch.hann_window(size).sqrt(), persistent=False)

    def forward(self, samples: Float[Tensor, "*batch time"]) -> Complex[Tensor, "*batch bins frames"]:
        """Two frames over every sample: over the last ones, one alone would be undone by dividing by almost 0."""
        whole = nn.functional.pad(samples, (0, -samples.shape[-1] % self.hop))
        return torch.stft(whole, self.size, self.hop, window=self.window, pad_mode="constant", return_complex=True)

    def inverse(self, spectrum: Complex[Tensor, "batch bins frames"], length: int) -> Float[Tensor, "batch time"]:
        """The ``length`` samples that ``spectrum`` belongs to, or the nearest to it in least squares."""
        return torch.istft(spectrum, self.size, self.hop, window=self.window, length=length)
