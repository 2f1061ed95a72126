"""Random numbers as a pure function of (seed, index, lane): no state, so nothing to save and nothing to reorder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SEED_STRIDE = np.uint64(0xD1342543DE82EF95)


def hashes(indices: Sequence[int] | np.ndarray, *, seed: int, num_lanes: int) -> np.ndarray:
    """[items, lanes] of uniform 64-bit integers: splitmix64 (Steele et al. 2014) over items and lanes."""
    index = np.asarray(indices, dtype=np.uint64)
    lane = np.arange(1, num_lanes + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        state = (index[:, None] * np.uint64(num_lanes) + lane + np.uint64(seed) * _SEED_STRIDE) * _MIX[0]
        state ^= state >> np.uint64(30)
        state *= _MIX[1]
        state ^= state >> np.uint64(27)
        state *= _MIX[2]
        state ^= state >> np.uint64(31)
    return np.asarray(state)


def uniforms(indices: Sequence[int] | np.ndarray, *, seed: int, num_lanes: int) -> np.ndarray:
    """[items, lanes] of float64, uniform in (0, 1)."""
    return np.asarray(((hashes(indices, seed=seed, num_lanes=num_lanes) >> np.uint64(12)) + 0.5) * 2.0**-52)


def complex_normals(indices: Sequence[int] | np.ndarray, *, seed: int, num_lanes: int) -> np.ndarray:
    """[items, lanes] of complex64, circular Gaussian with E|z|^2 = 1 (Box and Muller 1958)."""
    bits = hashes(indices, seed=seed, num_lanes=num_lanes)
    radius = ((bits >> np.uint64(32)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    radius = np.sqrt(-np.log(np.minimum(radius, np.float32(1.0) - np.float32(2.0**-24))))
    angle = (bits & np.uint64(0xFFFFFFFF)).astype(np.float32) * np.float32(2.0 * math.pi * 2.0**-32)
    result = np.empty(bits.shape, dtype=np.complex64)
    np.multiply(radius, np.cos(angle), out=result.real)
    np.multiply(radius, np.sin(angle), out=result.imag)
    return result
