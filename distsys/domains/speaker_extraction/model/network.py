"""A band-split dual-path extractor: the enrolment steers it frame by frame, by attention, and as a whole.

After BSRNN (Luo and Yu, arXiv 2209.15174) for the bands, dual-path processing (Luo et al., arXiv 1910.06379), and
USEF (Zeng and Li, arXiv 2409.02615) for attention from mixture frames to enrolment frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distsys.domains.protocol import Statistics
from distsys.domains.speaker_extraction.config import Config, ModelConfig
from distsys.domains.speaker_extraction.model.bands import Bands, band_widths
from distsys.domains.speaker_extraction.model.scan import GatedScan
from distsys.shapes import Complex, Float
from distsys.signals.stft import Stft

_HEADS = 4
_KEY_SIZE = 8
"""Of a head, in each band."""
_SHARPNESS = 3.0
"""Of attention to begin with: scores that are summed over bands with fresh weights hardly differ."""
_START_GAIN = 0.6
"""Masks begin as this times the mixture: at once no worse than the mixture, and with a gradient to grow or shrink."""
SILENCE = 1e-8


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
        return self.over_time(self.over_bands(x))


class Fusion(nn.Module):
    """The mixture conditioned on the enrolment: a scale and shift per band, and attention to its frames.

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
        attended = self.out(self._attended(mixture, enrolment))
        return torch.addcmul(shift, mixture, 1.0 + scale) + attended

    def _attended(self, mixture: Tensor, enrolment: Tensor) -> Tensor:
        bands, batch, frames, width = mixture.shape
        reference = self.enrolment_norm(enrolment)
        query, key = _heads(self.query(self.mixture_norm(mixture))), _heads(self.key(reference))
        scores = _SHARPNESS / math.sqrt(query.shape[-1]) * (query @ key.mT)
        values = torch.softmax(scores, dim=-1) @ _heads(self.value(reference))
        return values.view(batch, _HEADS, frames, bands, -1).permute(3, 0, 2, 1, 4).reshape(bands, batch, frames, width)


class Extractor(nn.Module):
    """From a mixture and enrolments to one estimate for each enrolment.

    The estimate scales with the mixture and does not depend on the enrolment's level.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        settings = config.model
        self.sample_rate_hz, self.is_causal = config.data.sample_rate_hz, settings.causal
        widths = band_widths(settings.window, sample_rate_hz=self.sample_rate_hz)
        self.stft, self.bands = Stft(settings.window), Bands(widths)
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
        rms: Float[Tensor, "batch 1 any"] | None = None,
    ) -> Float[Tensor, "batch queries time"]:
        """Estimates; ``rms`` (see :meth:`rms`) is that of the mixture unless it is a piece of a longer one."""
        queries = enrolment.shape[1]
        spectrum = self.stft(mixture)
        rms = rms_of(spectrum, causal=self.is_causal) if rms is None else rms
        masks = self._masks(spectrum / rms, self.stft(enrolment.flatten(0, 1)), queries)
        estimate = masks * spectrum.repeat_interleave(queries, dim=0)
        return self.stft.inverse(estimate, mixture.shape[-1]).view(-1, queries, mixture.shape[-1])

    def rms(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch 1 any"]:
        """What the features of a whole mixture are divided by: one number, or one a frame when causal."""
        return rms_of(self.stft(mixture), causal=self.is_causal)

    def _masks(
        self,
        mixture: Complex[Tensor, "batch bins frames"],
        enrolment: Complex[Tensor, "many bins enrol_frames"],
        queries: int,
    ) -> Complex[Tensor, "many bins frames"]:
        x, reference = self._encoded(mixture, enrolment / rms_of(enrolment, causal=False))
        x = self.alone(x).repeat_interleave(queries, dim=1)
        for fusion, block in zip(self.fusions, self.blocks, strict=True):
            x = block(fusion(x, reference))
        hidden = torch.tanh(self.mask_hidden(self.norm(x)))
        return self.bands.to_bins(self.mask(hidden).float())

    def _encoded(self, mixture: Tensor, enrolment: Tensor) -> tuple[Tensor, Tensor]:
        """Both spectra through the layers that they share, [bands, batch, frames, width] each."""
        batch = len(mixture)
        mixture, enrolment = (self.encode(self.bands.features(item)) for item in (mixture, enrolment))
        if mixture.shape[2] != enrolment.shape[2]:
            return self.shared(mixture), self.shared(enrolment)
        both = self.shared(torch.cat((mixture, enrolment), dim=1))  # one pass costs less than two
        return both[:, :batch], both[:, batch:]


def build_model(config: Config, statistics: Statistics) -> Extractor:
    """The extractor; it remembers nobody it was trained on."""
    return Extractor(config)


def rms_of(spectrum: Complex[Tensor, "batch bins frames"], *, causal: bool) -> Float[Tensor, "batch 1 some"]:
    """RMS over bins and frames; over the frames so far when ``causal``."""
    power = torch.view_as_real(spectrum).square().sum(dim=(1, -1))[:, None] / spectrum.shape[1]
    if not causal:
        return power.mean(dim=2, keepdim=True).sqrt().clamp(min=SILENCE)
    frames_so_far = torch.ones_like(power).cumsum(dim=2)
    return (power.cumsum(dim=2) / frames_so_far).sqrt().clamp(min=SILENCE)


def _heads(x: Tensor) -> Tensor:
    """[bands, batch, frames, heads * size] to [batch, heads, frames, bands * size]."""
    bands, batch, frames, _ = x.shape
    return x.view(bands, batch, frames, _HEADS, -1).permute(1, 3, 2, 0, 4).flatten(3)
