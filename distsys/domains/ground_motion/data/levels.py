"""How strong each band is, from what lies below 1 Hz: ridge regression with the spread it leaves behind.

Level and shape in one network overfit; the levels of a few hundred records are a regression problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from distsys.domains.ground_motion.data.calibration import EVENT_SHARE, NETWORK_SHARE, LeftOut, calibrated
from distsys.domains.ground_motion.data.operators import (
    RATE_HZ,
    WINDOW,
    band_power,
    frequencies_hz,
    lowpass,
    rms,
)
from distsys.shapes import Float
from distsys.signals.energy import arrived_share

_SUB_BANDS_HZ = ((0.08, 0.2), (0.2, 0.45), (0.45, 0.7), (0.7, 1.0))
_PENALTIES = 10.0 ** np.arange(-1.0, 4.5, 0.5)
_SMALLEST = 1e-12


def levels_of(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch bands"]:
    """ln RMS of each band over the RMS below 1 Hz."""
    return 0.5 * band_power(motion).clamp(min=1e-30).log() - rms(lowpass(motion)).log()[..., None]


def features_of(
    conditioning: Float[Tensor, "batch time"], metadata: Float[Tensor, "batch known"]
) -> Float[Tensor, "batch features"]:
    """What levels are regressed on: size, peak factor, durations and spectrum of the part below 1 Hz, and metadata.

    Args:
        metadata: see :meth:`records.Metadata.row`; NaN where unknown, and so is the feature.
    """
    level = rms(conditioning)
    peak = conditioning.abs().amax(dim=-1) / level
    arrived = arrived_share(conditioning.square())
    quantiles = torch.tensor([0.05, 0.5, 0.75, 0.95], device=arrived.device)
    times_s = torch.searchsorted(arrived.contiguous(), quantiles.expand(arrived.shape[0], -1).contiguous()) / RATE_HZ
    durations = (times_s[:, 1:] - times_s[:, :1]).clamp(min=0.05).log()
    power = torch.fft.rfft(conditioning).abs().square()
    frequency = frequencies_hz().to(power.device)
    parts = [power[:, (frequency > low) & (frequency <= high)].sum(dim=-1) for low, high in _SUB_BANDS_HZ]
    total = 0.5 * WINDOW**2 * level.square()
    spectrum = torch.stack([(part / total + 1e-4).log() for part in parts], dim=-1)
    known = torch.isfinite(metadata)
    return torch.cat((level.log()[:, None], peak.log()[:, None], durations, spectrum, metadata, known), dim=-1)


@dataclass(frozen=True)
class LevelModel:
    """Levels from features: standardise, square, ridge; and the spread of what is left.

    Args:
        mean, scale: [features] of the raw features.
        weight: [expanded, bands].
        factor: [bands, bands], lower triangular: residuals are ``factor @ normal``.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    factor: Tensor

    @classmethod
    def fit(
        cls,
        features: Float[Tensor, "records features"],
        levels: Float[Tensor, "records bands"],
        events: np.ndarray,
        networks: np.ndarray,
    ) -> Self:
        """Every event counts the same; the penalty comes from leaving events out, the spread from networks too."""
        x, y = features.double().numpy(), levels.double().numpy()
        weight = 1.0 / np.unique(events, return_inverse=True, return_counts=True)[2][_inverse(events)]
        mean = _known_mean(x, weight)
        scale = np.sqrt(_known_mean((x - mean) ** 2, weight))
        scale = np.where(scale > 1e-6, scale, 1.0)
        z = _expanded(torch.from_numpy((x - mean) / scale)).numpy()
        left = {penalty: _left_out(z, y, weight, events, penalty) for penalty in _PENALTIES}
        best = min(left, key=lambda penalty: float((weight[:, None] * left[penalty] ** 2).sum()))
        residual = left[best]
        covariance = (weight[:, None] * residual).T @ residual / weight.sum() + 1e-6 * np.eye(y.shape[1])
        unseen = [LeftOut(y - residual, residual, events, EVENT_SHARE)]
        unseen += _networks_left_out(z, y, weight, events, networks, best)
        found = (mean, scale, _ridge(z, y, weight, best), np.linalg.cholesky(calibrated(covariance, unseen)))
        return cls(*(torch.from_numpy(np.ascontiguousarray(item)).float() for item in found))

    def mean_of(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch bands"]:
        """Expected levels."""
        return _expanded((features - self.mean) / self.scale) @ self.weight


def _known_mean(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of each column over what is known of it; 0 where nothing is."""
    known = np.isfinite(x)
    total = (weight[:, None] * np.where(known, x, 0.0)).sum(axis=0)
    return total / np.maximum((weight[:, None] * known).sum(axis=0), _SMALLEST)


def _inverse(events: np.ndarray) -> np.ndarray:
    return np.unique(events, return_inverse=True)[1]


def _expanded(z: Tensor) -> Tensor:
    """A constant, the features, and their products, each limited to what training can have seen, 0 where unknown."""
    z = z.clamp(-3.0, 3.0).nan_to_num(0.0)
    row, column = torch.triu_indices(z.shape[-1], z.shape[-1])
    return torch.cat((torch.ones_like(z[..., :1]), z, 0.5 * z[..., row] * z[..., column]), dim=-1)


def _ridge(z: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float) -> np.ndarray:
    """Weighted ridge; the constant is free."""
    weighted = z * weight[:, None]
    return np.linalg.solve(_normal(z, weight, penalty), weighted.T @ y)


def _normal(z: np.ndarray, weight: np.ndarray, penalty: float) -> np.ndarray:
    free = np.full(z.shape[1], penalty * weight.mean())
    free[0] = _SMALLEST
    return (z * weight[:, None]).T @ z + np.diag(free)


def _left_out(z: np.ndarray, y: np.ndarray, weight: np.ndarray, events: np.ndarray, penalty: float) -> np.ndarray:
    """Residual of every record under the fit that never saw its event."""
    smoother, residual = _smoothed(z, y, weight, penalty)
    left = np.empty_like(y)
    for event in np.unique(events):
        out = np.flatnonzero(events == event)
        left[out] = _without(smoother, residual, out)
    return left


def _networks_left_out(
    z: np.ndarray, y: np.ndarray, weight: np.ndarray, events: np.ndarray, networks: np.ndarray, penalty: float
) -> list[LeftOut]:
    """The same for fits that never saw a record's network, nor an event that it recorded.

    Without networks that half of the events can be told without; nothing where these are too few to promise by.
    """
    smoother, residual = _smoothed(z, y, weight, penalty)
    rows, left, number = [], [], len(np.unique(events))
    for network in np.unique(networks):
        own = networks == network
        out = np.flatnonzero(np.isin(events, events[own]))
        if len(np.unique(events[out])) <= number / 2:
            rows.append(np.flatnonzero(own))
            left.append(_without(smoother, residual, out)[own[out]])
    if len(rows) * (1.0 - NETWORK_SHARE) < NETWORK_SHARE:
        return []
    chosen, missed = np.concatenate(rows), np.concatenate(left)
    return [LeftOut(y[chosen] - missed, missed, networks[chosen], NETWORK_SHARE)]


def _smoothed(z: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The smoother of the fit to all records, and what it leaves."""
    smoother = z @ np.linalg.solve(_normal(z, weight, penalty), (z * weight[:, None]).T)
    return smoother, y - smoother @ y


def _without(smoother: np.ndarray, residual: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Residual of the records ``out`` under the fit without them, from that to all: (1 - H_oo)^-1 r_o."""
    return np.linalg.solve(np.eye(len(out)) - smoother[np.ix_(out, out)], residual[out])
