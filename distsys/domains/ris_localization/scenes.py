"""Simulated scenes: where sources stand, what they send, and what the receiver sees of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distsys.domains.draws import complex_normals, uniforms
from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.geometry import Steering, from_physical

_SCALARS = 4
_PER_SOURCE = 5
_SCENE, _SIGNAL, _NOISE = 0, 1, 2


@dataclass(frozen=True)
class Condition:
    """What is fixed in a set of scenes; None is drawn as for training.

    Args:
        snr_db: per element and source.
        correlation: between the signals of sources, 0 to 1.
        num_snapshots: of every scene.
    """

    snr_db: float | None = None
    correlation: float | None = None
    num_snapshots: int | None = None


class SceneSource:
    """Scenes as a pure function of (seed, index).

    Args:
        data: surface and distributions.
        steering: the wave that the scenes obey.
        seed: of all draws.
        condition: what is not drawn.
    """

    def __init__(self, data: DataConfig, steering: Steering, *, seed: int, condition: Condition = Condition()) -> None:
        self._data, self._steering, self._condition = data, steering, condition
        self._seeds = [4 * seed + part for part in (_SCENE, _SIGNAL, _NOISE)]
        self._sensing = data.sensing()

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """The scenes at ``indices``; ``progress`` changes nothing here.

        Returns:
            ``snapshots`` [scenes, channels, snapshots] complex64, zero beyond ``num_snapshots`` [scenes];
            ``uvq`` [scenes, sources, 3] and ``amplitudes`` [scenes, sources, snapshots] (of unit-norm steering
            vectors), zero beyond ``num_sources`` [scenes]; ``noise_variance`` [scenes] of a channel; ``snr_db`` and
            ``correlation`` [scenes].
        """
        index = np.asarray(indices)
        data, lanes = self._data, _SCALARS + _PER_SOURCE * self._data.max_sources
        draws = torch.from_numpy(uniforms(index, seed=self._seeds[_SCENE], num_lanes=lanes))
        scalars, sources = draws[:, :_SCALARS], draws[:, _SCALARS:].reshape(len(index), data.max_sources, _PER_SOURCE)
        num_sources = _whole(scalars[:, 0], data.min_sources, data.max_sources)
        num_snapshots = self._num_snapshots(scalars[:, 3])
        present = torch.arange(data.max_sources) < num_sources[:, None]
        taken = torch.arange(data.num_snapshots) < num_snapshots[:, None]
        uvq = from_physical(self._places(sources[..., :3]))
        correlation = self._correlation(scalars[:, 1])
        amplitudes = self._amplitudes(index, correlation, sources[..., 3:], taken) * present[..., None]
        snr_db = self._snr_db(scalars[:, 2])
        noise_variance = (10.0 ** (-snr_db / 10.0)).float()
        snapshots = self._seen(uvq, amplitudes) + self._noise(index, taken) * noise_variance.sqrt()[:, None, None]
        return {
            "snapshots": snapshots * taken[:, None],
            "uvq": (uvq * present[..., None]).float(),
            "amplitudes": amplitudes,
            "num_sources": num_sources,
            "num_snapshots": num_snapshots,
            "noise_variance": noise_variance,
            "snr_db": snr_db.float(),
            "correlation": correlation.float(),
        }

    def _num_snapshots(self, draw: Tensor) -> Tensor:
        """Mostly all; otherwise uniform in the logarithm from one on."""
        most = self._data.num_snapshots
        if self._condition.num_snapshots is not None:
            return torch.full_like(draw, self._condition.num_snapshots, dtype=torch.long)
        share = self._data.few_share
        few = (most ** (draw / max(share, 1e-9)).clamp(max=1.0)).floor().long().clamp(1, most)
        return torch.where(draw < share, few, most)

    def _snr_db(self, draw: Tensor) -> Tensor:
        if self._condition.snr_db is not None:
            return torch.full_like(draw, self._condition.snr_db)
        return self._data.min_snr_db + draw * (self._data.max_snr_db - self._data.min_snr_db)

    def _correlation(self, draw: Tensor) -> Tensor:
        if self._condition.correlation is not None:
            return torch.full_like(draw, self._condition.correlation)
        coherent, partial = self._data.coherent_share, self._data.partial_share
        return (draw < coherent).float() + 0.5 * ((draw >= coherent) & (draw < coherent + partial)).float()

    def _places(self, draws: Tensor) -> Tensor:
        """(phi in rad, theta in rad, r in m), uniform in the region."""
        data = self._data
        ends = draws.new_tensor([math.radians(data.max_phi_deg), math.radians(data.max_theta_deg)])
        ranges = data.min_range_m + draws[..., 2:] * (data.max_range_m - data.min_range_m)
        return torch.cat([(2.0 * draws[..., :2] - 1.0) * ends, ranges], dim=-1)

    def _amplitudes(self, index: np.ndarray, correlation: Tensor, gains: Tensor, taken: Tensor) -> Tensor:
        """Signals drawn anew for every snapshot; correlated ones share a part up to a fixed phase."""
        data = self._data
        most = data.num_snapshots
        signals = complex_normals(index, seed=self._seeds[_SIGNAL], num_lanes=(data.max_sources + 1) * most)
        drawn = torch.from_numpy(signals).reshape(len(index), data.max_sources + 1, most)
        shared = correlation.sqrt()[:, None, None]
        mixed = shared * drawn[:, :1] + (1.0 - shared.square()).clamp(min=0.0).sqrt() * drawn[:, 1:]
        power_db = (gains[..., 0] - 0.5) * data.power_spread_db
        size = 10.0 ** (power_db / 20.0) * math.sqrt(data.num_x * data.num_y)
        turned = mixed * torch.polar(size, 2.0 * math.pi * gains[..., 1])[..., None]
        return turned.to(torch.complex64) * taken[:, None]

    def _seen(self, uvq: Tensor, amplitudes: Tensor) -> Tensor:
        """Channels without noise.

        Steering in float64 and sources added one by one: sines in float32 and matrix products round by the
        size of their batch, and a scene must not depend on which others are in its batch.
        """
        columns = self._sensing.apply(self._steering.vectors(uvq)).to(amplitudes.dtype)
        parts = [columns[..., k].mT * amplitudes[:, k, None] for k in range(uvq.shape[1])]
        return torch.stack(parts).sum(dim=0)

    def _noise(self, index: np.ndarray, taken: Tensor) -> Tensor:
        shape = self._data.num_channels, taken.shape[1]
        noise = complex_normals(index, seed=self._seeds[_NOISE], num_lanes=shape[0] * shape[1])
        return torch.from_numpy(noise).reshape(len(index), *shape)


def _whole(draw: Tensor, low: int, high: int) -> Tensor:
    return (low + (draw * (high - low + 1)).floor().long()).clamp(low, high)
