"""Log envelopes of bands over frames: what they are, what they are told from, and a network that expects them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.networks import dilated
from distsys.domains.ground_motion.operators import (
    NUM_BANDS,
    NUM_FRAMES,
    WINDOW,
    band_frames,
    frames_of,
    frequencies_hz,
    half_power,
    normal,
    rms,
)
from distsys.shapes import Float

_SUB_BANDS_HZ = ((0.08, 0.35), (0.35, 1.0))
NUM_INPUTS = 4 + len(_SUB_BANDS_HZ)
_LOWEST_SHAPE = -5.0
"""ln of a frame's RMS over the window's: quieter counts as this quiet."""
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
        self.enter = nn.Conv1d(NUM_INPUTS, width, 1)
        self.blocks = dilated(width, config.blocks, dropout=config.dropout)
        self.leave = nn.Conv1d(width, 2 * NUM_BANDS, 1)
        for parameter in self.leave.parameters():
            nn.init.normal_(parameter, std=_START_WEIGHT)
        self.memory = nn.Parameter(torch.full((NUM_BANDS,), math.atanh(_START_MEMORY / _LARGEST_MEMORY)))
        """How much of one frame's residual remains in the next, before a tanh."""
        alike = torch.full((NUM_BANDS, NUM_BANDS), _START_ALIKE).fill_diagonal_(1.0)
        self.coupling = nn.Parameter(torch.linalg.cholesky(alike))
        """Rows of this, made unit length: residuals of bands rise and fall together."""

    def forward(self, inputs: Float[Tensor, "batch channels frames"]) -> tuple[Tensor, Tensor]:
        """Mean and spread, [batch, bands, frames] each."""
        x = self.enter(inputs)
        for block in self.blocks:
            x = block(x)
        mean, spread = self.leave(x).chunk(2, dim=1)
        spread = (spread + math.log(_START_SPREAD)).exp().clamp(_SMALLEST_SPREAD, _LARGEST_SPREAD)
        return mean - 1.0, spread

    def correlation_factor(self) -> Float[Tensor, "bands bands"]:
        """Lower triangular, rows of unit length."""
        lower = torch.tril(self.coupling, -1) + torch.diag(self.coupling.diagonal().abs().clamp(min=_LEAST_OWN))
        return torch.as_tensor(lower / lower.norm(dim=-1, keepdim=True).clamp(min=1e-6))

    def log_likelihood(self, target: Tensor, mean: Tensor, spread: Tensor) -> Float[Tensor, " batch"]:
        """Mean over bands and frames of the log density of ``target`` [batch, bands, frames].

        Residuals are Gaussian, remembered from frame to frame (an AR(1) process in each band) and correlated
        between bands.
        """
        memory = self.kept()
        residual = (target - mean) / spread
        fresh = (residual[..., 1:] - memory[:, None] * residual[..., :-1]) / (1.0 - memory.square()).sqrt()[:, None]
        news = torch.cat((residual[..., :1], fresh), dim=-1)
        factor = self.correlation_factor()
        white = torch.linalg.solve_triangular(factor, news, upper=False)
        volume = spread.log().sum(dim=(-1, -2)) + 0.5 * (NUM_FRAMES - 1) * torch.log1p(-memory.square()).sum()
        volume = volume + NUM_FRAMES * factor.diagonal().abs().clamp(min=1e-6).log().sum()
        count = NUM_BANDS * NUM_FRAMES
        return torch.as_tensor(
            -(volume + 0.5 * white.square().sum(dim=(-1, -2))) / count - 0.5 * math.log(2.0 * math.pi)
        )

    def kept(self) -> Float[Tensor, " bands"]:
        """Of a residual, from one frame to the next."""
        return _LARGEST_MEMORY * torch.tanh(self.memory)

    def residuals(self, count: int, *, generator: torch.Generator) -> Float[Tensor, "count bands frames"]:
        """Draws of the process above, of unit spread."""
        noise = normal(count, NUM_BANDS, NUM_FRAMES, generator=generator, device=self.coupling.device)
        news, memory = self.correlation_factor() @ noise, self.kept()
        fresh = (1.0 - memory.square()).sqrt()
        drawn = [news[..., 0]]
        for frame in range(1, NUM_FRAMES):
            drawn.append(memory * drawn[-1] + fresh * news[..., frame])
        return torch.stack(drawn, dim=-1)


def inputs_of(conditioning: Float[Tensor, "batch time"]) -> Float[Tensor, "batch channels frames"]:
    """What shapes are told from, by frame: the motion itself, its log envelopes, and the energy before and after.

    Invariant to: scale of ``conditioning``.
    """
    unit = conditioning / rms(conditioning)[:, None]
    frequency = frequencies_hz().to(unit.device)
    spectrum = torch.fft.rfft(unit)
    parts = [unit]
    for low, high in _SUB_BANDS_HZ:
        parts.append(torch.fft.irfft(spectrum * ((frequency > low) & (frequency <= high)), WINDOW))
    envelopes = [_log_rms(frames_of(half_power(torch.fft.rfft(part)))) for part in parts]
    arrived = frames_of(unit.square()).cumsum(dim=-1)
    arrived = arrived / arrived[:, -1:]
    wave = unit.view(len(unit), NUM_FRAMES, -1).mean(dim=-1)
    before, after = (arrived + 1e-3).log(), (1.0 - arrived + 1e-3).log()
    return torch.stack((wave, *envelopes, 0.5 * before, 0.5 * after), dim=1)


def shapes_of(motion: Float[Tensor, "batch time"]) -> Float[Tensor, "batch bands frames"]:
    """ln RMS of each band in each frame over the band's RMS in the window."""
    power = band_frames(torch.fft.rfft(motion))
    share = power / power.mean(dim=-1, keepdim=True).clamp(min=1e-30)
    return _log_rms(share)


def _log_rms(power: Tensor) -> Tensor:
    return 0.5 * (power + math.exp(2.0 * _LOWEST_SHAPE)).log()
