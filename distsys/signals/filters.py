"""Zero-phase filters: real masks on the spectrum, which shift nothing in time."""

from __future__ import annotations

import numpy as np

_PAD_S = 60.0
"""Room for what a mask with steep flanks spreads."""
_EDGE = 0.1
"""Half width of a flank, as a share of the edge."""


def band_pass(samples: np.ndarray, *, rate_hz: float, low_hz: float, high_hz: float) -> np.ndarray:
    """What of ``samples`` [time] lies between two edges, by a mask with raised-cosine flanks."""
    size = len(samples) + round(_PAD_S * rate_hz)
    frequency = np.fft.rfftfreq(size, 1.0 / rate_hz)
    passed = _flank(frequency / low_hz) * _flank(2.0 - frequency / high_hz)
    return np.fft.irfft(np.fft.rfft(samples, size) * passed, size)[: len(samples)]


def low_pass(samples: np.ndarray, *, rate_hz: float, cutoff_hz: float) -> np.ndarray:
    """What of ``samples`` [time] lies at or below ``cutoff_hz``, by a mask without flanks."""
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1.0 / rate_hz) > cutoff_hz] = 0.0
    return np.fft.irfft(spectrum, len(samples))


def _flank(relative: np.ndarray) -> np.ndarray:
    """From 0 below an edge at 1 to 1 above it."""
    place = np.clip((relative - 1.0) / _EDGE, -1.0, 1.0)
    return 0.5 + 0.5 * np.sin(0.5 * np.pi * place)
