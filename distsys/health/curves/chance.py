"""Terms that stay where a model begins that knows nothing, while others move (D25)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from distsys.health.causes import AT_CHANCE
from distsys.health.curves.history import History, Series
from distsys.health.curves.names import is_contrastive
from distsys.health.curves.noise import mean_and_error, moved, smooth
from distsys.health.verdict import Verdict

_FEWEST = 8
_POWER = 0.02
"""Change that must be visible, over the term's size. The check in flight has the same."""
_NEAR = 0.03
"""Distance from a chance level that is only inferred, over its size: a contrastive loss starts within 3 % of it."""


def at_chance(history: History) -> Iterator[Verdict]:
    """A term with a weight is flat from its first point to its last, and others are not.

    Healthy are terms at their floor, regularisers, adversaries at their balance, and what had no weight.
    """
    terms = [_weighted(history, item.finite) for item in history.of_kind("term")]
    movers = [item for item in [*terms, *history.of_kind("loss")] if len(item) >= _FEWEST and _falls(item)]
    for series in terms:
        if len(series) < _FEWEST or series.meaning.is_free or series.meaning.is_penalty:
            continue
        others = [item.name for item in movers if item.name != series.name]
        if not others or not _is_flat(series) or _is_at_floor(series):
            continue
        mean, error = mean_and_error(series.values)
        chance = _chance(history, series, mean, error)
        declared = series.meaning.chance
        if declared is not None and abs(mean - declared) > max(3.0 * error, 1e-3 * abs(declared)):
            continue
        said = f", chance {chance}" if chance else ""
        evidence = f"{series.name} = {mean:.4g} +- {error:.2g} at all {len(series)} points{said}; {others[0]} falls"
        yield AT_CHANCE.verdict("warn", evidence, step=series.step(0))


def _weighted(history: History, series: Series) -> Series:
    """The points at which the term had a weight."""
    weight = history.get(series.meaning.weight) if series.meaning.weight else None
    if weight is None or not len(weight):
        return series
    at = np.clip(np.searchsorted(weight.steps, series.steps, side="right") - 1, 0, None)
    return series.where(weight.values[at] > 0.0)


def _falls(series: Series) -> bool:
    """Whether it is lower at the end by more than noise and a twentieth of where it was."""
    values = smooth(series.finite.values)
    return moved(values) and values[0] - values[-1] > 0.05 * abs(float(values[0]))


def _is_flat(series: Series) -> bool:
    """Whether no part of it differs from another by more than noise, and a change of ``_POWER`` would show."""
    values = series.values
    mean, _ = mean_and_error(values)
    parts = [mean_and_error(part) for part in np.array_split(values, 4)]
    worst = max(error for _, error in parts)
    if abs(mean) == 0.0 or 3.0 * worst > max(_POWER, 0.0) * abs(mean):
        return False
    means = [value for value, _ in parts]
    start = abs(float(values[0]) - mean)
    spread = float(values[1:].std(ddof=1))
    if moved(values) and means[-1] < means[0]:  # it falls, if slowly
        return False
    return max(means) - min(means) <= _POWER * abs(mean) and start <= max(4.0 * spread, 1e-3 * abs(mean))


def _is_at_floor(series: Series) -> bool:
    """Whether there is nothing left to gain, or for a penalty without a bound nothing was ever there."""
    low = series.meaning.low if math.isfinite(series.meaning.low) else 0.0
    return abs(float(np.median(series.values)) - low) <= 1e-3 * (1.0 + abs(low))


def _chance(history: History, series: Series, mean: float, error: float) -> str:
    """Its chance level in words: declared, or that of a choice among the items of a batch."""
    if series.meaning.chance is not None:
        return f"{series.meaning.chance:.4g}"
    size = next((value for name, value in history.facts.items() if name.endswith("batch_size")), 0.0)
    if size < 2.0 or not is_contrastive(series):
        return ""
    levels = {f"ln {n:g}": math.log(n) for n in (size, size - 1.0, 2.0 * size - 1.0, 2.0 * size) if n > 1.0}
    name = min(levels, key=lambda key: abs(levels[key] - mean))
    near = abs(levels[name] - mean) <= max(3.0 * error, _NEAR * levels[name])
    return f"{name} = {levels[name]:.4g} for batches of {size:g}" if near else ""
