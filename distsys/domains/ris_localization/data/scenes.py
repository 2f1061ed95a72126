"""Simulated scenes: where sources stand, what they send, and what the receiver sees of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import Self

import torch
from torch import Tensor

from distsys.domains.draws import complex_normals, complex_normals_on, uniforms, uniforms_on
from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig, SteeringModel
from distsys.domains.ris_localization.data.conditions import ALL_DRAWN, Condition
from distsys.domains.ris_localization.data.distribution import Distribution
from distsys.domains.ris_localization.data.geometry import from_physical
from distsys.domains.ris_localization.data.site import Site, assumed_site

_SCALARS = 4
_PER_SOURCE = 5
_SCENE, _SIGNAL, _NOISE = 0, 1, 2


class SceneSource:
    """Scenes as a pure function of (seed, index).

    Args:
        data: surface and distributions.
        wave: that the scenes obey, ``data.steering`` or ``data.world``.
        seed: of all draws.
        condition: what is not drawn.
        site: from sources to channels; by default what is assumed, under ``wave``.
    """

    def __init__(
        self,
        data: DataConfig,
        *,
        wave: SteeringModel,
        seed: int,
        condition: Condition = ALL_DRAWN,
        site: Site | None = None,
    ) -> None:
        self._distribution = Distribution.of(data, condition)
        self._site = assumed_site(data, wave) if site is None else site
        self._seeds = [4 * seed + part for part in (_SCENE, _SIGNAL, _NOISE)]
        self._num_channels = data.num_channels
        self._max_sources, self._max_snapshots = data.max_sources, data.num_snapshots
        self._power_spread_db = data.power_spread_db
        self._device: torch.device | None = None

    def renoised(self) -> Self:
        """The same scenes and signals in other noise."""
        other = copy(self)
        other._seeds = [*self._seeds[:_NOISE], self._seeds[_NOISE] + 1]  # the fourth seed, which nothing else has
        return other

    def on(self, device: torch.device) -> Self:
        """The same scenes, made on ``device``, which rounds in its own way."""
        other = copy(self)
        other._device = device
        other._site = self._site.on(device)
        return other

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """The scenes at ``indices``; ``progress`` changes nothing here.

        Returns:
            ``snapshots`` [scenes, channels, snapshots] complex64, zero beyond ``num_snapshots`` [scenes];
            ``uvq`` [scenes, sources, 3] and ``amplitudes`` [scenes, sources, snapshots] (of unit-norm steering
            vectors), zero beyond ``num_sources`` [scenes]; ``noise_variance`` [scenes] of a channel; ``snr_db`` and
            ``correlation`` [scenes].
        """
        most = self._max_sources
        draws = self._uniforms(indices, num_lanes=_SCALARS + _PER_SOURCE * most)
        scalars, sources = draws[:, :_SCALARS], draws[:, _SCALARS:].reshape(len(indices), most, _PER_SOURCE)
        num_sources = self._distribution.sources(scalars[:, 0])
        num_snapshots = self._distribution.snapshots(scalars[:, 3])
        present = torch.arange(most, device=self._device) < num_sources[:, None]
        taken = torch.arange(self._max_snapshots, device=self._device) < num_snapshots[:, None]
        uvq = from_physical(self._distribution.places(sources[..., :3]))
        correlation = self._distribution.correlations(scalars[:, 1])
        amplitudes = self._amplitudes(indices, correlation, sources[..., 3:], taken) * present[..., None]
        snr_db = self._distribution.snrs_db(scalars[:, 2])
        noise_variance = (10.0 ** (-snr_db / 10.0)).float()
        snapshots = (
            self._noiseless(uvq, amplitudes) + self._noise(indices, taken) * noise_variance.sqrt()[:, None, None]
        )
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

    def _amplitudes(self, indices: Sequence[int], correlation: Tensor, gains: Tensor, taken: Tensor) -> Tensor:
        """Signals drawn anew for every snapshot; correlated ones share a part up to a fixed phase."""
        shape = self._max_sources + 1, self._max_snapshots
        drawn = self._complex_normals(indices, seed=self._seeds[_SIGNAL], shape=shape)
        shared = correlation.sqrt()[:, None, None]
        mixed = shared * drawn[:, :1] + (1.0 - shared.square()).clamp(min=0.0).sqrt() * drawn[:, 1:]
        power_db = (gains[..., 0] - 0.5) * self._power_spread_db
        size = 10.0 ** (power_db / 20.0) * math.sqrt(self._distribution.surface.num_elements)
        turned = mixed * torch.polar(size, 2.0 * math.pi * gains[..., 1])[..., None]
        return turned.to(torch.complex64) * taken[:, None]

    def _noiseless(self, uvq: Tensor, amplitudes: Tensor) -> Tensor:
        """Channels without noise.

        Steering in float64 and sources added one by one: sines in float32 and matrix products round by the
        size of their batch, and a scene must not depend on which others are in its batch.
        """
        columns = self._site.sensing.apply(self._site.steering.vectors(uvq)).to(amplitudes.dtype)
        parts = [columns[..., k].mT * amplitudes[:, k, None] for k in range(uvq.shape[1])]
        return torch.stack(parts).sum(dim=0)

    def _noise(self, indices: Sequence[int], taken: Tensor) -> Tensor:
        shape = self._num_channels, taken.shape[1]
        return self._site.noise(self._complex_normals(indices, seed=self._seeds[_NOISE], shape=shape))

    def _uniforms(self, indices: Sequence[int], *, num_lanes: int) -> Tensor:
        seed = self._seeds[_SCENE]
        if self._device is None:
            return torch.from_numpy(uniforms(indices, seed=seed, num_lanes=num_lanes))
        return uniforms_on(self._there(indices), seed=seed, num_lanes=num_lanes)

    def _complex_normals(self, indices: Sequence[int], *, seed: int, shape: tuple[int, int]) -> Tensor:
        num_lanes = math.prod(shape)
        if self._device is None:
            drawn = torch.from_numpy(complex_normals(indices, seed=seed, num_lanes=num_lanes))
        else:
            drawn = complex_normals_on(self._there(indices), seed=seed, num_lanes=num_lanes)
        return drawn.reshape(len(indices), *shape)

    def _there(self, indices: Sequence[int]) -> Tensor:
        if isinstance(indices, range):  # made there: nothing to wait for
            return torch.arange(indices.start, indices.stop, indices.step, device=self._device)
        return torch.tensor(list(indices), device=self._device)
