"""Magnitude response of a setting, in closed form and differentiable.

Source: R. Bristow-Johnson, Audio EQ Cookbook. Its biquads are analogue prototypes under the bilinear
transform, so that |H| at w follows from x = tan(w/2) / tan(w0/2) without forming coefficients, which in
float32 cancel at low frequencies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.domains.semantic_eq.data.settings import BANDS, SHELF_Q, Band, Ranges
from distsys.shapes import Float

SAMPLE_RATE_HZ = 44100.0
NUM_POINTS = 256


def frequency_grid_hz(num_points: int = NUM_POINTS) -> Float[Tensor, " points"]:
    """Log-spaced frequencies from 20 Hz to 20 kHz."""
    return torch.logspace(math.log10(20.0), math.log10(20000.0), num_points, dtype=torch.float64)


def band_responses_db(
    u: Float[Tensor, "items 13"],
    ranges: Ranges,
    *,
    sample_rate_hz: float = SAMPLE_RATE_HZ,
    num_points: int = NUM_POINTS,
) -> Float[Tensor, "items 5 points"]:
    """Response of each band, in dB, on :func:`frequency_grid_hz`.

    Raises:
        ValueError: a centre frequency is not below half of ``sample_rate_hz``.
    """
    return 10.0 * _power_ratios(u, ranges, sample_rate_hz, num_points).clamp(min=1e-12).log10()


def response_db(
    u: Float[Tensor, "items 13"],
    ranges: Ranges,
    *,
    sample_rate_hz: float = SAMPLE_RATE_HZ,
    num_points: int = NUM_POINTS,
) -> Float[Tensor, "items points"]:
    """Response of the whole setting, in dB: the bands' product, with one logarithm.

    Raises:
        ValueError: a centre frequency is not below half of ``sample_rate_hz``.
    """
    return 10.0 * _power_ratios(u, ranges, sample_rate_hz, num_points).prod(dim=1).clamp(min=1e-12).log10()


def _power_ratios(u: Tensor, ranges: Ranges, sample_rate_hz: float, num_points: int) -> Tensor:
    physical = ranges.decode(u)
    freq_hz = physical[:, [band.freq for band in BANDS]]
    highest_hz = max(ranges.parameters[band.freq].high for band in BANDS)
    if highest_hz >= sample_rate_hz / 2 and bool((freq_hz >= sample_rate_hz / 2).any()):
        raise ValueError(f"a band at {float(freq_hz.max()):.0f} Hz needs a sample rate above {sample_rate_hz:.0f} Hz")
    grid = (math.pi / sample_rate_hz * frequency_grid_hz(num_points)).tan().to(u)
    squared = (grid / (math.pi / sample_rate_hz * freq_hz).tan()[..., None]).square()
    amplitude = torch.exp(physical[:, [band.gain for band in BANDS]] * (math.log(10.0) / 40.0))[..., None]
    parts = [_one_band(band, physical, squared[:, index], amplitude[:, index]) for index, band in enumerate(BANDS)]
    return torch.stack(parts, dim=1)


def _one_band(band: Band, physical: Tensor, x2: Tensor, a: Tensor) -> Tensor:
    """|H|^2 from x^2 and A = 10^(gain/40), both [items, points]."""
    if band.q is not None:
        q2 = physical[:, band.q, None].square()
        middle = (1.0 - x2).square()
        return (middle + a.square() * x2 / q2) / (middle + x2 / (a.square() * q2))
    slope = a * x2 / SHELF_Q**2
    near, far = (a - x2).square() + slope, (1.0 - a * x2).square() + slope
    return a.square() * (near / far if band.kind == "low_shelf" else far / near)
