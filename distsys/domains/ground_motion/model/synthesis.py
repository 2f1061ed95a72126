"""From band envelopes to motions: noise with the mean spectrum of training, shaped band by band."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import (
    WINDOW,
    band_frames,
    band_masks,
    band_power,
    normal,
    over_time,
    rms,
)
from distsys.shapes import Float

_SMALLEST = 1e-30


def filled_with_noise(
    given: Float[Tensor, "batch time"],
    level: Float[Tensor, "batch count bands"],
    shape: Float[Tensor, "batch count bands frames"],
    spectrum: Float[Tensor, " bins"],
    *,
    generator: torch.Generator,
) -> Float[Tensor, "batch count time"]:
    """Noise of ``spectrum``, each band divided by its own envelope and brought to ``level`` and ``shape``.

    Args:
        level: ln RMS over that of ``given``.
        shape: ln RMS by frame, up to a constant.
        spectrum: relative amplitudes at the bins.
    """
    batch, count = level.shape[:2]
    noise = normal(batch, count, WINDOW, generator=generator, device=level.device)
    coloured = torch.fft.rfft(noise) * spectrum
    present = 0.5 * band_frames(coloured).clamp(min=_SMALLEST).log()
    relative = shape - 0.5 * (2.0 * shape).exp().mean(dim=-1, keepdim=True).log() + level[..., None]
    bands = torch.fft.irfft(coloured[..., None, :] * band_masks().to(level.device), WINDOW)
    waves = bands.mul_(over_time(relative - present).exp_())
    return to_levels(waves.sum(dim=-2), level, given)


def to_levels(
    motion: Float[Tensor, "batch count time"],
    level: Float[Tensor, "batch count bands"],
    given: Float[Tensor, "batch time"],
) -> Float[Tensor, "batch count time"]:
    """``motion`` above 1 Hz through an equaliser that gives each band ``level``, ln RMS over that of ``given``."""
    now = 0.5 * band_power(motion).clamp(min=_SMALLEST).log()
    gain = (level + rms(given).log()[:, None, None] - now).exp()
    curve = gain @ band_masks().to(motion.device).square()
    return torch.fft.irfft(torch.fft.rfft(motion) * curve, WINDOW)
