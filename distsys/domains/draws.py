"""Random numbers as a pure function of (seed, index, lane): no state, so nothing to save and nothing to reorder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SEED_STRIDE = np.uint64(0xD1342543DE82EF95)
_SIGNED_MIX = tuple(int(value.astype(np.int64)) for value in _MIX)
_LOW_BITS = 0xFFFFFFFF


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
    angle = (bits & np.uint64(_LOW_BITS)).astype(np.float32) * np.float32(2.0 * math.pi * 2.0**-32)
    result = np.empty(bits.shape, dtype=np.complex64)
    np.multiply(radius, np.cos(angle), out=result.real)
    np.multiply(radius, np.sin(angle), out=result.imag)
    return result


def hashes_on(indices: Tensor, *, seed: int, num_lanes: int) -> Tensor:
    """The bits of :func:`hashes` as int64, where ``indices`` (int64) lie: integers wrap alike on every device."""
    lane = torch.arange(1, num_lanes + 1, device=indices.device)
    with np.errstate(over="ignore"):
        start = int((np.uint64(seed) * _SEED_STRIDE).astype(np.int64))
    state = (indices[:, None] * num_lanes + lane + start) * _SIGNED_MIX[0]
    state = (state ^ _shifted(state, 30)) * _SIGNED_MIX[1]
    state = (state ^ _shifted(state, 27)) * _SIGNED_MIX[2]
    return state ^ _shifted(state, 31)


def uniforms_on(indices: Tensor, *, seed: int, num_lanes: int) -> Tensor:
    """Those of :func:`uniforms`, to the bit."""
    return (_shifted(hashes_on(indices, seed=seed, num_lanes=num_lanes), 12).double() + 0.5) * 2.0**-52


def complex_normals_on(indices: Tensor, *, seed: int, num_lanes: int) -> Tensor:
    """Those of :func:`complex_normals`, but for how a device rounds logarithms and sines."""
    bits = hashes_on(indices, seed=seed, num_lanes=num_lanes)
    radius = ((_shifted(bits, 32).float() + 0.5) * 2.0**-32).clamp(max=1.0 - 2.0**-24).log().neg().sqrt()
    return torch.polar(radius, (bits & _LOW_BITS).float() * (2.0 * math.pi * 2.0**-32))


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shifted to the right with zeros coming in; int64 would bring in its sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)
