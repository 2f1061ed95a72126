"""How much of a curve is noise: the only measure by which its movements are judged."""

from __future__ import annotations

import math

import numpy as np

_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""
_FEWEST_FOR_A_LINE = 4
_MOST_CORRELATED = 0.95
"""Beyond it a curve is a trend, and nothing is left to count as independent."""


def spread_of(values: np.ndarray) -> float:
    """Standard deviation of one value around the curve's own course, from second differences; 0 for three points.

    A single outlier or a jump hardly moves it: half of the differences decide.
    """
    if len(values) < 4:
        return 0.0
    second = (values[2:] - 2.0 * values[1:-1] + values[:-2]) / math.sqrt(6.0)
    robust = _TO_SIGMA * float(np.median(np.abs(second)))
    return robust if robust > 0.0 else float(np.sqrt(np.mean(second**2)))


def noise_of(values: np.ndarray) -> float:
    """The same as what may be held to be noise: of few points a generous guess."""
    return spread_of(values) * (1.0 + 6.0 / max(len(values), 1))


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean and its standard error: of what a straight line leaves, for as many independent values as it holds."""
    count = len(values)
    if count < 2:
        return (float(values[0]), math.inf) if count else (math.nan, math.inf)
    rest = values - values.mean()
    fitted = 1
    if count >= _FEWEST_FOR_A_LINE:
        at = np.arange(count) - (count - 1) / 2.0
        rest, fitted = rest - at * float(at @ rest) / float(at @ at), 2
    spread = math.sqrt(float(rest @ rest) / (count - fitted))
    generous = 1.0 + 3.0 / count**1.5  # a spread of few values is badly known
    return float(values.mean()), generous * spread / math.sqrt(max(1.0, count * _independent(rest)))


def _independent(rest: np.ndarray) -> float:
    """Share of residuals that counts as independent, by their first-order correlation."""
    power = float(rest @ rest)
    if power == 0.0 or len(rest) < 2 * _FEWEST_FOR_A_LINE:
        return 1.0
    correlation = min(max(float(rest[1:] @ rest[:-1]) / power, 0.0), _MOST_CORRELATED)
    return (1.0 - correlation) / (1.0 + correlation)


def thirds(values: np.ndarray) -> list[np.ndarray]:
    """Beginning, middle and end of a curve, of nearly equal length."""
    return np.array_split(values, 3)


def change(values: np.ndarray) -> tuple[float, float]:
    """End minus beginning (means of the outer thirds) and its standard error."""
    begin, _, end = thirds(values)
    (before, first), (after, second) = mean_and_error(begin), mean_and_error(end)
    return after - before, math.hypot(first, second)


def smooth(values: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Running median over ``share`` of the points, an odd number of them, at least three; over fewer at the ends."""
    half = max(1, round(share * len(values) / 2))
    padded = np.pad(np.asarray(values, dtype=float), half, constant_values=np.nan)
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)


def error_of_smooth(values: np.ndarray, share: float = 0.1) -> float:
    """Standard error of a point of :func:`smooth`: a median's, 1.25 that of a mean."""
    return 1.25 * noise_of(values) / math.sqrt(max(3.0, share * len(values)))


def luck(count: int) -> float:
    """Standard deviations by which the best of ``count`` equal values lies above their mean (about)."""
    return math.sqrt(2.0 * math.log(max(count, 2)))


def moved(values: np.ndarray, errors: float = 3.0) -> bool:
    """Whether a curve's end differs from its beginning by more than ``errors`` standard errors."""
    difference, error = change(values)
    return len(values) >= 6 and abs(difference) > errors * error
