"""A band-split dual-path extractor: what is wanted is told by an enrolment, frame by frame and as a whole.

After BSRNN (Luo and Yu, arXiv 2209.15174) for the bands, dual-path processing (Luo et al., arXiv 1910.06379), and
USEF (Zeng and Li, arXiv 2409.02615) for attention from mixture frames to enrolment frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distsys.domains.speaker_extraction.config import Config, ModelConfig
from distsys.domains.speaker_extraction.scan import GatedScan
from distsys.domains.speaker_extraction.spectrum import Bands, Spectrum, band_widths
from distsys.shapes import Complex, Float

_HEADS = 4
_KEY_SIZE = 8
"""Of a head, in each band."""
_SHARPNESS = 3.0
"""Of attention to begin with: scores that are summed over bands with fresh weights hardly differ."""
_START_GAIN = 0.6
"""Masks begin as this times the mixture: at once no worse than the mixture, and with a gradient to grow or shrink."""
_SILENCE = 1e-8


class BandLinear(nn.Module):
    """A linear map of its own for every band, [bands, batch, frames, inputs] to [..., outputs]."""

    def __init__(self, num_bands: int, inputs: int, outputs: int, *, scale: Tensor | float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_bands, inputs, outputs) * scale)
        self.bias = nn.Parameter(torch.zeros(num_bands, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        bands, batch, frames, inputs = x.shape
        flat = torch.baddbmm(self.bias, x.reshape(bands, batch * frames, inputs), self.weight)
        return flat.view(bands, batch, frames, -1)


class DualPath(nn.Module):
    """One scan over the bands of a frame, then one over the frames of a band."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        directions = 1 if config.causal else 2
        self.over_bands = GatedScan(config.width, config.hidden, axis=0)
        self.over_time = GatedScan(config.width, config.hidden, axis=2, num_directions=directions)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.over_time(self.over_bands(x))
        return result


class Fusion(nn.Module):
    """Tells the mixture what the enrolment sounds like: a scale and shift per band, and attention to its frames.

    All bands share the projections of attention and add up their scores: projections of whole frames, with weights
    of their own for each band, learn who is who at half the pace.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mixture_norm, self.enrolment_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, _HEADS * _KEY_SIZE), nn.Linear(width, _HEADS * _KEY_SIZE)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.film = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, mixture: Tensor, enrolment: Tensor) -> Tensor:
        scale, shift = self.film(enrolment.mean(dim=2, keepdim=True)).to(mixture.dtype).chunk(2, dim=-1)
        heard: Tensor = self.out(self._attended(mixture, enrolment))
        return torch.addcmul(shift, mixture, 1.0 + scale) + heard

    def _attended(self, mixture: Tensor, enrolment: Tensor) -> Tensor:
        bands, batch, frames, width = mixture.shape
        known = self.enrolment_norm(enrolment)
        query, key = _heads(self.query(self.mixture_norm(mixture))), _heads(self.key(known))
        scores = _SHARPNESS / math.sqrt(query.shape[-1]) * (query @ key.mT)
        found = torch.softmax(scores, dim=-1) @ _heads(self.value(known))
        return found.view(batch, _HEADS, frames, bands, -1).permute(3, 0, 2, 1, 4).reshape(bands, batch, frames, width)


class Extractor(nn.Module):
    """From a mixture and enrolments to one estimate for each enrolment.

    The estimate scales with the mixture and does not depend on the enrolment's level.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        settings = config.model
        widths = band_widths(settings.window, sample_rate_hz=config.data.sample_rate_hz)
        self.spectrum, self.bands = Spectrum(settings.window), Bands(widths)
        number, size = self.bands.num_bands, self.bands.size
        used = torch.tensor([3.0 * width for width in widths])[:, None, None]
        self.encode = BandLinear(number, 3 * size, settings.width, scale=used.rsqrt())
        self.shared = DualPath(settings)
        self.alone = nn.Sequential(*(DualPath(settings) for _ in range(settings.mixture_depth)))
        self.fusions = nn.ModuleList(Fusion(settings.width) for _ in range(settings.depth))
        self.blocks = nn.ModuleList(DualPath(settings) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.mask_hidden = BandLinear(number, settings.width, settings.mask_hidden, scale=settings.width**-0.5)
        self.mask = BandLinear(number, settings.mask_hidden, 2 * size, scale=0.01)
        with torch.no_grad():
            self.mask.bias[..., 0::2] = _START_GAIN
        for parameter in self.mask.parameters():
            parameter.no_weight_decay = True  # type: ignore[attr-defined]  # decay would pull every level to 0

    def forward(
        self,
        mixture: Float[Tensor, "batch time"],
        enrolment: Float[Tensor, "batch queries enrol_time"],
        *,
        level: Float[Tensor, "batch 1 any"] | None = None,
    ) -> Float[Tensor, "batch queries time"]:
        """Estimates; ``level`` (see :meth:`level`) is that of the mixture unless it is a piece of a longer one."""
        queries = enrolment.shape[1]
        spectrum = self.spectrum(mixture)
        level = level_of(spectrum, causal=self.config.model.causal) if level is None else level
        masks = self._masks(spectrum / level, self.spectrum(enrolment.flatten(0, 1)), queries)
        estimate = masks * spectrum.repeat_interleave(queries, dim=0)
        samples: Tensor = self.spectrum.inverse(estimate, mixture.shape[-1])
        return samples.view(-1, queries, mixture.shape[-1])

    def level(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch 1 any"]:
        """What the features of a whole mixture are divided by: one number, or one a frame when causal."""
        return level_of(self.spectrum(mixture), causal=self.config.model.causal)

    def _masks(
        self,
        mixture: Complex[Tensor, "batch bins frames"],
        enrolment: Complex[Tensor, "many bins enrol_frames"],
        queries: int,
    ) -> Complex[Tensor, "many bins frames"]:
        batch = len(mixture)
        heard = self.encode(self.bands.features(mixture))
        known = self.encode(self.bands.features(enrolment / level_of(enrolment, causal=False)))
        if heard.shape[2] == known.shape[2]:  # one pass over both costs less than two
            both = self.shared(torch.cat((heard, known), dim=1))
            heard, known = both[:, :batch], both[:, batch:]
        else:
            heard, known = self.shared(heard), self.shared(known)
        x = self.alone(heard).repeat_interleave(queries, dim=1)
        for fusion, block in zip(self.fusions, self.blocks, strict=True):
            x = block(fusion(x, known))
        hidden = torch.tanh(self.mask_hidden(self.norm(x)))
        return self.bands.to_bins(self.mask(hidden).float())


def level_of(spectrum: Complex[Tensor, "batch bins frames"], *, causal: bool) -> Float[Tensor, "batch 1 some"]:
    """RMS over bins and frames; over the frames so far when ``causal``."""
    power = torch.view_as_real(spectrum).square().sum(dim=(1, -1))[:, None] / spectrum.shape[1]
    if not causal:
        return power.mean(dim=2, keepdim=True).sqrt().clamp(min=_SILENCE)
    frames_so_far = torch.ones_like(power).cumsum(dim=2)
    return (power.cumsum(dim=2) / frames_so_far).sqrt().clamp(min=_SILENCE)


def _heads(x: Tensor) -> Tensor:
    """[bands, batch, frames, heads * size] to [batch, heads, frames, bands * size]."""
    bands, batch, frames, _ = x.shape
    return x.view(bands, batch, frames, _HEADS, -1).permute(1, 3, 2, 0, 4).flatten(3)
