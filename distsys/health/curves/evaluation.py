"""Validations that are too noisy or too small for what is decided by them, or not repeatable (D16)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from distsys.health.causes import NOISY_EVALUATION, UNSTABLE_EVALUATION
from distsys.health.curves.history import History, Series
from distsys.health.curves.noise import luck, smooth, spread_of
from distsys.health.verdict import Verdict

_FEWEST = 8
_NOISY = 0.1
"""Noise over a metric's level, below which nobody minds it; for a rate that of ``_ITEMS`` items, as much at 1/2."""
_ITEMS = 100
_LUCK = 0.5
"""Share of the run's whole gain by which the best point exceeds the curve around it."""
_FEW_ITEMS = 60
_ROUNDING = 1e-4
_FLOAT32_DIGITS = 6


def not_repeatable(history: History) -> Iterator[Verdict]:
    """Two evaluations in a row at one step differ by more than rounding.

    A resumed run that writes a stretch again is none: its steps go back; nor is one that writes its last point again.
    """
    for series in _evaluated(history):
        differing = [item for item in series.repeats if not math.isclose(item[1], item[2], rel_tol=_ROUNDING)]
        if len(differing) >= 2:
            step, one, other = differing[0]
            evidence = (
                f"{series.name} is {one:.6g} and {other:.6g} at step {step:.0f}; "
                f"{len(differing)} of {len(series.repeats)} repetitions differ"
            )
            yield UNSTABLE_EVALUATION.verdict("warn", evidence, step=int(step))


def too_noisy(history: History) -> Iterator[Verdict]:
    """The best validation owes half or more of the run's whole gain to noise, which is a good part of the metric.

    Healthy is jitter on a plateau that is small beside the way there, or beside the metric itself.
    """
    for series in _choosing(history):
        sign = 1.0 if series.meaning.direction == "max" else -1.0
        values, noise = sign * series.values, spread_of(series.values)
        gain = _gain(values)
        if len(series) < _FEWEST or noise <= _noisy(series.values):
            continue
        if luck(len(values)) * noise > _LUCK * gain:
            evidence = (
                f"{series.name} jumps by {noise:.2g} from one validation to the next (standard deviation) and "
                f"its course changes by {gain:.2g} in all; the best, {series.values[values.argmax()]:.4g}, is luck"
            )
            yield NOISY_EVALUATION.verdict("warn", evidence, step=series.step(0))


def _gain(values: np.ndarray) -> float:
    """How far a curve's course goes: from its first points to its end, or between its highest and its lowest part."""
    ends = float(values[-max(1, len(values) // 4) :].mean() - np.median(values[:3]))
    return max(abs(ends), float(np.ptp(smooth(values, share=0.3))))


def _noisy(values: np.ndarray) -> float:
    """Standard deviation from which a metric around ``values`` is noisy."""
    level = abs(float(np.median(values)))
    if values.min() >= 0.0 and values.max() <= 1.0:
        return math.sqrt(level * (1.0 - level) / _ITEMS)
    return _NOISY * level


def too_small(history: History) -> Iterator[Verdict]:
    """A rate moves in steps of one in few items, and the best differs from its neighbours by an item or two."""
    for series in [item for item in _choosing(history) if item.meaning.kind == "metric"]:
        values = series.values
        scale = 100.0 if float(values.max()) > 1.5 else 1.0
        levels = np.unique(values)
        if len(series) < _FEWEST or len(levels) < 3 or levels[0] < 0.0 or levels[-1] > scale:
            continue
        items = _items(levels / scale, len(series))
        if items:
            error = math.sqrt(max(float(np.median(values / scale) * (1 - np.median(values / scale))), 0.0) / items)
            evidence = (
                f"{series.name} takes {len(levels)} values, all of them whole numbers of {items}: so many items, "
                f"standard error {scale * error:.2g}"
            )
            yield NOISY_EVALUATION.verdict("warn", evidence, step=series.step(0))


def _items(levels: np.ndarray, points: int) -> int:
    """The least number of items that explains all ``levels`` of a share, 0 where many would be needed.

    Rounding to hundredths looks like a hundred items; a number that divides it is believed at many points only.
    """
    digits = max(_digits(float(value)) for value in levels)
    for items in range(2, _FEW_ITEMS + 1):
        near = np.abs(levels * items - np.round(levels * items)) <= items * 0.51 * 10.0**-digits
        if near.all() and (items * 4 < 10.0**digits) and not (100 % items == 0 and digits <= 2 and points < 20):
            return items
    return 0


def _digits(value: float) -> int:
    """Decimals with which ``value`` was written."""
    text = f"{value:.10f}".rstrip("0")
    return min(len(text.split(".")[1]), _FLOAT32_DIGITS)


def _evaluated(history: History) -> list[Series]:
    return [item for item in history.of_kind("loss", "term", "metric") if item.meaning.split in ("validation", "test")]


def _choosing(history: History) -> list[Series]:
    """What a checkpoint may be chosen by: the declared metric, else metrics and losses of held-out items."""
    if history.selection is not None:
        chosen = history.get(history.selection.name)
        return [chosen.finite] if chosen is not None and len(chosen.finite) else []
    found = [item for item in _evaluated(history) if item.meaning.kind != "term" and not item.meaning.is_free]
    return [item.finite for item in found if item.meaning.direction and len(item.finite)]
