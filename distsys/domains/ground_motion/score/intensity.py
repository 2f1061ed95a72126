"""Intensity measures of acceleration windows in g: what engineers use of a ground motion."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import RATE_HZ, WINDOW
from distsys.shapes import Complex, Float
from distsys.signals.energy import arrival

G_M_S2 = 9.80665
PERIODS_S = (0.05, 0.1, 0.3, 1.0, 2.0)
"""Of response spectra."""
_DAMPING = 0.05
_PADDED = 2 * WINDOW
_POINTS = 20
"""Of a period, at least, so that peaks are not missed between samples."""
_LOWEST_VELOCITY_HZ = 0.05
SCORED = ("pga", "arias", "psa_0.1s", "psa_0.3s", "psa_1s")
"""Whose spread is judged."""


def measures(motion: Float[Tensor, "*batch time"]) -> dict[str, Float[Tensor, "*batch"]]:
    """Natural logarithms of PGA (g), PGV (m/s), Arias intensity (m/s), CAV (m/s), and PSA at 5 % damping (g)."""
    squared = motion.square().sum(dim=-1) / RATE_HZ
    found = {
        "pga": motion.abs().amax(dim=-1),
        "pgv": _velocity(motion).abs().amax(dim=-1),
        "arias": 0.5 * math.pi * G_M_S2 * squared,
        "cav": G_M_S2 * motion.abs().sum(dim=-1) / RATE_HZ,
        **{f"psa_{period:g}s": response(motion, period) for period in PERIODS_S},
    }
    return {name: value.clamp(min=1e-30).log() for name, value in found.items()}


def response(motion: Float[Tensor, "*batch time"], period_s: float) -> Float[Tensor, "*batch"]:
    """Pseudo-spectral acceleration: the largest deflection of a damped oscillator, times its frequency squared.

    The window is followed by as much silence, in which the oscillator nearly comes to rest.
    """
    finer = max(1, math.ceil(_POINTS / (period_s * RATE_HZ)))
    spectrum = torch.fft.rfft(motion, _PADDED) * _oscillator(period_s).to(motion.device)
    deflection = torch.fft.irfft(spectrum, finer * _PADDED) * finer
    return deflection.abs().amax(dim=-1)


@cache
def _oscillator(period_s: float) -> Complex[Tensor, " bins"]:
    natural = 2.0 * math.pi / period_s
    omega = 2.0 * math.pi * torch.fft.rfftfreq(_PADDED, 1.0 / RATE_HZ, dtype=torch.float64)
    response = natural**2 / torch.complex(natural**2 - omega.square(), 2.0 * _DAMPING * natural * omega)
    return response.to(torch.complex64)


def _velocity(motion: Tensor) -> Tensor:
    """In m/s, by division in the spectrum; nothing below 0.05 Hz."""
    frequency = torch.fft.rfftfreq(WINDOW, 1.0 / RATE_HZ).to(motion.device)
    divisor = torch.where(frequency >= _LOWEST_VELOCITY_HZ, 2.0 * math.pi * frequency, torch.inf)
    return torch.fft.irfft(torch.fft.rfft(motion) * (-1j / divisor), WINDOW) * G_M_S2


def arrival_s(motion: Float[Tensor, "*batch time"], share: float) -> Float[Tensor, "*batch"]:
    """When ``share`` of the energy has arrived (Husid)."""
    return arrival(motion.square(), share) / RATE_HZ


def durations(motion: Float[Tensor, "*batch time"]) -> dict[str, Float[Tensor, "*batch"]]:
    """ln seconds from 5 to 75 % and from 5 to 95 % of the energy."""
    begin = arrival_s(motion, 0.05)
    return {
        f"d5_{round(100 * share)}": (arrival_s(motion, share) - begin).clamp(min=1.0 / RATE_HZ).log()
        for share in (0.75, 0.95)
    }


@cache
def _log_bands(edges_hz: tuple[float, ...]) -> Float[Tensor, "bins bands"]:
    frequency = torch.fft.rfftfreq(WINDOW, 1.0 / RATE_HZ)
    inside = [((frequency > low) & (frequency <= high)).float() for low, high in pairwise(edges_hz)]
    return torch.stack([item / item.sum() for item in inside], dim=-1)


def fourier_amplitude(
    motion: Float[Tensor, "*batch time"], edges_hz: tuple[float, ...]
) -> Float[Tensor, "*batch bands"]:
    """ln RMS Fourier amplitude between each two edges."""
    power = torch.fft.rfft(motion).abs().square() @ _log_bands(edges_hz).to(motion.device)
    return 0.5 * power.clamp(min=1e-30).log()
