"""Signals at another rate."""

from __future__ import annotations

from math import gcd

import numpy as np
from scipy.signal import resample_poly


def resampled(samples: np.ndarray, *, up: int, down: int) -> np.ndarray:
    """``samples`` [time] at ``up / down`` times their rate, of the same type (polyphase, Kaiser window)."""
    shared = gcd(up, down)
    if up == down:
        return samples
    return np.asarray(resample_poly(samples, up // shared, down // shared), dtype=samples.dtype)
