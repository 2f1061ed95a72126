"""What training gains and held-out items do not: overfitting, and a split that nothing carries over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distsys.health.causes import OVERFIT
from distsys.health.curves.history import History, Kind, Series, Split
from distsys.health.curves.noise import error_of_smooth, luck, noise_of, smooth
from distsys.health.verdict import Verdict

_FEWEST = 6
_LOST = 0.15
"""Rise of the validation loss after its best, over its fall before: memorising reaches it, a jitter does not."""
_APART = 0.5
"""Distance at the end, over what training gained: less of it is the gap that every flexible model has."""


def overfits(history: History) -> Iterator[Verdict]:
    """The validation loss rises while the training loss falls on; or it stays behind by half of what training gains.

    Healthy is a validation loss that rises while the metric that chooses gains (confidence, not error).
    """
    for train, held in _pairs(history):
        values, fitted = smooth(held.values), np.interp(held.steps, train.steps, smooth(train.values))
        values[0], fitted[0] = _begin(held, held.steps[0]), _begin(train, held.steps[0])
        best, noise = int(np.argmin(values)), noise_of(held.values) + error_of_smooth(train.values)
        if _metric_gains(history, held.steps[best]) or fitted[-1] > fitted[0]:
            continue
        rise, fall = float(values[-1] - values[best]), float(values[0] - values[best])
        is_clear = rise > (2.0 + luck(len(values))) * noise
        if is_clear and rise > _LOST * max(fall, 0.1 * abs(values[0])) and fitted[-1] < fitted[best]:
            said = f"{held.name} rises from {values[best]:.4g} to {values[-1]:.4g}"
            yield OVERFIT.verdict("warn", f"{said} while {_fall(train, fitted, best)}", step=held.step(best))
        elif _stays_behind(fitted, values, noise):
            said = f"{held.name} goes from {values[0]:.4g} to {values[-1]:.4g}"
            yield OVERFIT.verdict("warn", f"{said} while {_fall(train, fitted, 0)}", step=held.step(0))


def _pairs(history: History) -> Iterator[tuple[Series, Series]]:
    """Losses of training and validation that are one quantity on two sets; terms where no loss has both."""
    splits: tuple[Split, ...] = ("train", "validation")
    has_both = all(history.of_kind("loss", split=split) for split in splits)
    kind: Kind = "loss" if has_both else "term"
    for held in history.of_kind(kind, split="validation"):
        for train in history.of_kind(kind, split="train"):
            if train.meaning.of == held.meaning.of and not held.meaning.is_free:
                held, train = held.finite, train.finite
                if len(held) >= _FEWEST and len(train) >= _FEWEST:
                    yield train, held


def _begin(series: Series, step: float) -> float:
    """Where a curve stands at ``step``, hardly smoothed: the first points may hold most of its fall."""
    at = min(int(np.searchsorted(series.steps, step)), len(series) - 1)
    return float(np.median(series.values[at : at + max(1, len(series) // 50)]))


def _fall(train: Series, fitted: np.ndarray, since: int) -> str:
    return f"{train.name} falls from {fitted[since]:.4g} to {fitted[-1]:.4g}"


def _stays_behind(fitted: np.ndarray, values: np.ndarray, noise: float) -> bool:
    """Whether both begin alike and validation ends above training by most of what training gained.

    A validation loss that begins elsewhere is another quantity: other terms, another reduction, no dropout.
    """
    gained, gap = float(fitted[0] - fitted[-1]), float(values[-1] - fitted[-1])
    begins_alike = abs(values[0] - fitted[0]) < 0.3 * gained + 3.0 * noise
    return begins_alike and gained > max(6.0 * noise, 0.2 * abs(fitted[0])) and gap > _APART * gained


def _metric_gains(history: History, since: float) -> bool:
    """Whether a metric of held-out items is better at the end than it was around step ``since``."""
    for item in history.of_kind("metric"):
        series = item.finite
        if item.meaning.direction is None or item.meaning.split == "train" or len(series) < _FEWEST:
            continue
        values = smooth(series.values) * (1.0 if item.meaning.direction == "max" else -1.0)
        then = float(np.interp(since, series.steps, values))
        if values[-1] - then > 2.0 * noise_of(series.values):
            return True
    return False
