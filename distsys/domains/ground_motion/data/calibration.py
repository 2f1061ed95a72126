"""How wide the spread of levels must be for records of earthquakes and networks that no regression has seen.

Records of one earthquake, and of one network, miss in the same direction, so that groups count and not records. A
spread is scaled until bands hold the wanted share of whole left-out groups, whatever the distribution of what is left
over: hierarchical conformal prediction (Lee, Barber and Willett 2023, arXiv 2306.06342).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from distsys.signals.ensembles import HIGH, LOW

EVENT_SHARE = HIGH - LOW
"""Of records of another earthquake, to lie within the band whose coverage is judged."""
NETWORK_SHARE = 0.8
"""The same where the network is another one too: its instruments and sites may be like nothing that is known."""


@dataclass(frozen=True)
class LeftOut:
    """What a regression misses records by that it did not see, nor anything else of their group.

    Args:
        expected, residual: [records, bands] ln RMS over that below 1 Hz, and the truth minus that.
        groups: [records] numbers.
        share: of records of one more group, to lie within their bands.
    """

    expected: np.ndarray
    residual: np.ndarray
    groups: np.ndarray
    share: float


def calibrated(covariance: np.ndarray, left_out: Sequence[LeftOut]) -> np.ndarray:
    """[bands, bands] the covariance of residuals, scaled so that every one of ``left_out`` has its share."""
    wanted = [group_quantile(standard_scores(item, covariance), item.groups, item.share) for item in left_out]
    return covariance * (max(wanted) / norm.ppf(HIGH)) ** 2


def standard_scores(left_out: LeftOut, covariance: np.ndarray) -> np.ndarray:
    """[records, bands + 1] residuals over their spread: of every band, and of the whole motion, which Arias is of."""
    bands = np.abs(left_out.residual) / np.sqrt(np.diag(covariance))
    power = np.exp(2.0 * left_out.expected)
    slope = power / (1.0 + power.sum(axis=-1, keepdims=True))
    spread = np.sqrt(np.einsum("ri,ij,rj->r", slope, covariance, slope))
    whole = _whole(left_out.expected + left_out.residual) - _whole(left_out.expected)
    return np.column_stack((bands, np.abs(whole) / spread))


def group_quantile(scores: np.ndarray, groups: np.ndarray, share: float) -> float:
    """What the scores [records, kinds] of one more group stay below, in ``share`` of cases at least.

    Every group counts the same, and so does one more, of which nothing is known; where groups are too few for such a
    promise, the largest score that was seen.
    """
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    mass = np.repeat(1.0 / counts[index] / (len(counts) + 1) / scores.shape[1], scores.shape[1])
    order = np.argsort(scores, axis=None)
    reached = int(np.searchsorted(np.cumsum(mass[order]), share - 1e-12))
    return float(scores.ravel()[order[min(reached, scores.size - 1)]])


def _whole(level: np.ndarray) -> np.ndarray:
    """ln RMS of the whole motion over that below 1 Hz."""
    return 0.5 * np.log1p(np.exp(2.0 * level).sum(axis=-1))
