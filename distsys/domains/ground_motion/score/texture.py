"""What a motion is like below its envelope: energy over time and frequency, zero crossings, peakedness, response.

Noise under any envelope has the zero crossings and the kurtosis of noise; these say what a motion has besides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import (
    NUM_FRAMES,
    RATE_HZ,
    band_frames,
    envelope,
    highpart,
    rms,
)
from distsys.domains.ground_motion.score.intensity import response
from distsys.shapes import Float
from distsys.signals.ensembles import crps, energy_score

PERIODS_S = tuple((10.0 ** torch.linspace(-1.3, 0.7, 20)).tolist())
"""Of the response spectrum: 0.05 to 5 s."""
STRETCHES = 16
"""Of a window, 1.28 s each, that zero crossings and energy are looked at in."""
_LOWEST = -5.0
"""ln of an RMS over the window's: quieter counts as this quiet."""
_AT_ONCE = 4
"""Records that are scored together: more would only move memory about."""


def zero_crossing_rate(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch stretches"]:
    """Changes of sign a second of the part above 1 Hz, in each stretch of the window."""
    sign = highpart(motion) > 0.0
    changes = (sign[..., 1:] != sign[..., :-1]).to(motion.dtype)
    stretches = torch.nn.functional.pad(changes, (0, 1)).unflatten(-1, (STRETCHES, -1))
    return stretches.mean(dim=-1) * RATE_HZ


def kurtosis(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch"]:
    """Of the part above 1 Hz over its envelope, 3 for Gaussian noise: whether peaks stand out where it is loud."""
    high = highpart(motion)
    flat = high / envelope(high).clamp(min=1e-3 * rms(high)[..., None].clamp(min=1e-30))
    flat = flat - flat.mean(dim=-1, keepdim=True)
    return flat.pow(4).mean(dim=-1) / flat.square().mean(dim=-1).square().clamp(min=1e-30)


def band_courses(motion: Float[Tensor, "*batch time"], *, frames: int) -> Float[Tensor, "*batch bands frames"]:
    """ln RMS of each band in each of ``frames`` stretches over that of everything above 1 Hz in the window."""
    high = highpart(motion)
    power = band_frames(torch.fft.rfft(high)).unflatten(-1, (frames, NUM_FRAMES // frames)).mean(dim=-1)
    loudness = rms(high).square()[..., None, None].clamp(min=1e-30)
    return (0.5 * (power / loudness).clamp(min=1e-30).log()).clamp(min=_LOWEST)


def response_spectrum(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch periods"]:
    """ln PSA at 5 % damping, g, at :data:`PERIODS_S`."""
    return torch.stack([response(motion, period) for period in PERIODS_S], dim=-1).clamp(min=1e-30).log()


def texture_scores(
    samples: Float[Tensor, "records count time"], truth: Float[Tensor, "records time"]
) -> dict[str, Float[Tensor, " records"]]:
    """How good ensembles are in all of this, smaller is better.

    ``energy_time_frequency`` is an energy score of ln RMS in 6 bands and 16 stretches, over the root of their number;
    the others are CRPS: of ln zero crossings, of ln kurtosis, and of ln PSA, means over stretches and periods.
    """
    pairs = zip(samples.split(_AT_ONCE), truth.split(_AT_ONCE), strict=True)
    rows = [_of_few(few, real) for few, real in pairs]
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def _of_few(samples: Tensor, truth: Tensor) -> dict[str, Tensor]:
    made, real = (band_courses(item, frames=STRETCHES).flatten(-2) for item in (samples, truth))
    found = {"energy_time_frequency": energy_score(made, real) / made.shape[-1] ** 0.5}
    for name, view in (
        ("crps_zero_crossings", lambda item: (zero_crossing_rate(item) + 1.0).log()),
        ("crps_kurtosis", lambda item: kurtosis(item).log()[..., None]),
        ("crps_response_spectrum", response_spectrum),
    ):
        found[name] = crps(view(samples).movedim(1, -1), view(truth)).mean(dim=-1)
    return found
