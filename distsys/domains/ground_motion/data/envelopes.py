"""Log envelopes of bands over frames, and the channels of the motion below 1 Hz that they are foretold from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import (
    NUM_FRAMES,
    WINDOW,
    band_frames,
    frames_of,
    frequencies_hz,
    half_power,
    rms,
)
from distsys.shapes import Float
from distsys.signals.energy import arrived_share

_SUB_BANDS_HZ = ((0.08, 0.35), (0.35, 1.0))
NUM_INPUTS = 4 + len(_SUB_BANDS_HZ)
_LOWEST_SHAPE = -5.0
"""ln of a frame's RMS over the window's: quieter counts as this quiet."""


def inputs_of(conditioning: Float[Tensor, "batch time"]) -> Float[Tensor, "batch channels frames"]:
    """What shapes are foretold from, by frame: the motion itself, its log envelopes, and the energy before and after.

    Invariant to: scale of ``conditioning``.
    """
    unit = conditioning / rms(conditioning)[:, None]
    frequency = frequencies_hz().to(unit.device)
    spectrum = torch.fft.rfft(unit)
    parts = [unit]
    for low, high in _SUB_BANDS_HZ:
        parts.append(torch.fft.irfft(spectrum * ((frequency > low) & (frequency <= high)), WINDOW))
    envelopes = [_log_rms(frames_of(half_power(torch.fft.rfft(part)))) for part in parts]
    arrived = arrived_share(frames_of(unit.square()))
    wave = unit.unflatten(-1, (NUM_FRAMES, -1)).mean(dim=-1)
    before, after = (arrived + 1e-3).log(), (1.0 - arrived + 1e-3).log()
    return torch.stack((wave, *envelopes, 0.5 * before, 0.5 * after), dim=1)


def shapes_of(motion: Float[Tensor, "batch time"]) -> Float[Tensor, "batch bands frames"]:
    """ln RMS of each band in each frame over the band's RMS in the window."""
    power = band_frames(torch.fft.rfft(motion))
    share = power / power.mean(dim=-1, keepdim=True).clamp(min=1e-30)
    return _log_rms(share)


def _log_rms(power: Tensor) -> Tensor:
    return 0.5 * (power + math.exp(2.0 * _LOWEST_SHAPE)).log()
