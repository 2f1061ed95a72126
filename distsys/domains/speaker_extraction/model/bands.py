"""The bands of a spectrum that the model works on, narrow at low frequencies as in BSRNN (arXiv 2209.15174)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.shapes import Complex, Float

_COMPRESSION = 0.3
"""Exponent on magnitudes: what the ear and networks find easier (Wilson et al., ICASSP 2018)."""
_LAYOUT_HZ = ((1000.0, 94.0), (2000.0, 188.0), (4000.0, 400.0), (8000.0, 800.0), (16000.0, 1600.0))
"""Bands are this wide (second) up to there (first), as the ear resolves and as harmonics demand; wider above."""
_GAIN = 2.3
"""Brings compressed spectra of speech with an RMS of 1 near unit variance."""
_SMALLEST = 1e-5


def band_widths(window: int, *, sample_rate_hz: int) -> list[int]:
    """Bins in each band; together all ``window // 2 + 1``."""
    bin_hz, bins = sample_rate_hz / window, window // 2 + 1
    widths: list[int] = []
    for until_hz, width_hz in (*_LAYOUT_HZ, (math.inf, 3200.0)):
        until = bins if until_hz >= bins * bin_hz else round(until_hz / bin_hz) + 1
        inside = until - sum(widths)
        if inside > 0:
            count = min(inside, max(1, round(inside * bin_hz / width_hz)))
            widths += [inside // count + (number < inside % count) for number in range(count)]
    return widths


class Bands:
    """Bins to bands of equal size, the narrow ones filled up with zeros, and back."""

    def __init__(self, widths: list[int]) -> None:
        self.num_bands, self.size = len(widths), max(widths)
        self._widths = widths

    def features(
        self, spectrum: Complex[Tensor, "batch bins frames"]
    ) -> Float[Tensor, "bands batch frames three_size"]:
        """Real part, imaginary part and magnitude of each bin, magnitudes compressed."""
        spectrum = spectrum.transpose(1, 2)  # frames as they lie in memory
        magnitude = spectrum.abs().clamp(min=_SMALLEST)
        compressed = magnitude.pow(_COMPRESSION)
        parts = torch.cat((torch.view_as_real(spectrum * (compressed / magnitude)), compressed[..., None]), dim=-1)
        flat = _GAIN * parts.flatten(2)
        result = flat.new_zeros(self.num_bands, *flat.shape[:2], 3 * self.size)
        for band, part in zip(result, flat.split([3 * width for width in self._widths], dim=-1), strict=True):
            band[..., : part.shape[-1]] = part
        return result

    def to_bins(self, masks: Float[Tensor, "bands batch frames two_size"]) -> Complex[Tensor, "batch bins frames"]:
        """Complex values, one a bin, from those of the bands."""
        used = [band[..., : 2 * width] for band, width in zip(masks.unbind(0), self._widths, strict=True)]
        return torch.view_as_complex(torch.cat(used, dim=-1).unflatten(-1, (-1, 2))).transpose(1, 2)
