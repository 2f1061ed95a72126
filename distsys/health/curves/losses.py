"""Losses that grow, jump or stay where they began."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distsys.health.causes import CONSTANT_OUTPUT, DIVERGED, JUMPS, NOTHING_LEARNED
from distsys.health.curves.history import History, Series, weights_move
from distsys.health.curves.noise import change, mean_and_error, moved, noise_of, smooth, thirds
from distsys.health.verdict import Verdict

_FEWEST = 8
_FEWEST_EQUAL = 4
_POWER = 0.02
"""Change that must be visible before a loss is called flat, over its size. The checks in flight have the same."""
_JUMP = 12.0
"""Standard deviations of a curve's noise: an exponential or log-normal spread reaches 7 in a thousand points."""
_BACK = 0.8
"""Share of a fall that is climbed again by a model that collapsed, or of a jump that is undone."""
_LASTING = 5
"""Points of which most have to be beyond: single batches may be anything."""
_WARMUP = 0.1
"""Share of a run in which a loss may do anything."""


def diverges(history: History) -> Iterator[Verdict]:
    """A training loss that climbs from its best to where it began, or beyond, and stays there; no metric gains.

    Healthy are an adversary's loss, a curriculum whose metrics gain or whose loss falls again, and a total whose
    weights changed.
    """
    if _is_other_each_time(history) or _something_gains(history):
        return
    for series in _training_losses(history):
        values, noise = smooth(series.values), noise_of(series.values)
        best = int(np.argmin(values))
        last, first = values[-max(1, len(values) // 4) :].mean(), float(np.median(series.values[:3]))
        rise, least = float(last - values[best]), max(6.0 * noise, 0.2 * abs(first))
        is_back = rise > least and rise > _BACK * (first - values[best])
        if len(series) >= _FEWEST and is_back and not _falls_again(values[best:], least):
            evidence = (
                f"{series.name} begins at {first:.4g}, is lowest with {values[best]:.4g} at step {series.step(best)} "
                f"and ends at {last:.4g}"
            )
            yield DIVERGED.verdict("warn", evidence, step=series.step(best))


def _falls_again(values: np.ndarray, least: float) -> bool:
    """Whether a curve that rises turns down again: what rose is then learned."""
    top = int(values.argmax())
    return bool(values[top] - values[-1] > 0.1 * max(least, float(values[top] - values[0])))


def jumps(history: History) -> Iterator[Verdict]:
    """A training loss that leaps over where it began, far beyond its noise and for more than one point.

    Healthy are heavy tails, a change of weights or of a curriculum, whose step does not go back, and the first tenth.
    """
    if _is_other_each_time(history):
        return
    for series in _training_losses(history):
        begin = max(2, int(_WARMUP * len(series)))
        if len(series) < 3 * _FEWEST:
            continue
        high = np.median(np.lib.stride_tricks.sliding_window_view(series.values, _LASTING), axis=1)
        limit = max(float(np.median(series.values[:3])), float(np.median(series.values)))
        limit += _JUMP * noise_of(series.values)
        over = begin + np.flatnonzero(high[begin:] > limit)
        if not len(over):
            continue
        at = int(over[0]) + int(np.argmax(series.values[over[0] :] > limit))
        if _comes_back(series, at):
            top = float(series.values[at : at + _LASTING].max())
            evidence = f"{series.name} goes from {series.values[at - 1]:.4g} to {top:.4g} at step {series.step(at)}"
            yield JUMPS.verdict("warn", evidence, step=series.step(at))


def _comes_back(series: Series, at: int) -> bool:
    """Whether the curve returns most of the way: else it is another task, or it diverges."""
    before, rest = float(np.median(series.values[max(0, at - 5) : at])), series.values[at:]
    top = int(rest.argmax())
    return float(rest[top:].min()) < before + (1.0 - _BACK) * (float(rest[top]) - before)


def stays(history: History) -> Iterator[Verdict]:
    """Losses that are flat or equal from their first point to their last, where no metric gains either; metrics that
    are equal at every point while a loss falls.

    Healthy are a policy's or an adversary's loss, a loss at zero, a metric at its best.
    """
    losses = [item for item in _all_losses(history) if len(item) >= _FEWEST_EQUAL]
    still = [item for item in losses if np.ptp(item.values) == 0.0 and item.values[0] != 0.0]
    gains = _something_gains(history)
    for series in still[:1] if not gains else []:
        evidence = f"{series.name} is {series.values[0]:.6g} at all {len(series)} points"
        yield NOTHING_LEARNED.verdict("warn", evidence, step=series.step(0))
    if not still and not gains:
        flat = [item for item in losses if len(item) >= _FEWEST and _is_flat(item)]
        if flat and len(flat) == len([item for item in losses if len(item) >= _FEWEST]):
            (mean, error), (difference, _) = mean_and_error(flat[0].values), change(flat[0].values)
            evidence = (
                f"{flat[0].name} = {mean:.4g} +- {error:.2g}; its last third differs from its first by {difference:.2g}"
            )
            yield NOTHING_LEARNED.verdict("warn", evidence, step=flat[0].step(0))
    for series in _judged_metrics(history):
        if (
            len(series) >= _FEWEST
            and np.ptp(series.values) == 0.0
            and not _is_best(series)
            and _training_gains(history)
        ):
            evidence = (
                f"{series.name} is {series.values[0]:.6g} at all {len(series)} points, while a training loss falls"
            )
            yield CONSTANT_OUTPUT.verdict("warn", evidence, step=series.step(0))


def _is_other_each_time(history: History) -> bool:
    """Whether the loss is not one quantity over the run: its weights change, or an adversary does."""
    return weights_move(history) or any(item.meaning.is_free for item in history.of_kind("loss", "term"))


def _all_losses(history: History) -> list[Series]:
    return [item.finite for item in history.of_kind("loss") if not item.meaning.is_free]


def _training_losses(history: History) -> list[Series]:
    """Losses of training; where none says so, those that say nothing."""
    found = [item for item in _all_losses(history) if item.meaning.split in ("train", "") and len(item)]
    return [item for item in found if item.meaning.split == "train"] or found


def _judged_metrics(history: History) -> list[Series]:
    """Metrics that are better one way, on held-out items where there are such."""
    found = [item.finite for item in history.of_kind("metric") if item.meaning.direction and not item.meaning.is_free]
    return [item for item in found if item.meaning.split != "train" and len(item)] or [i for i in found if len(i)]


def _something_gains(history: History) -> bool:
    """Whether a metric gets better, a reward too, beside which a loss of values may grow."""
    free = [item.finite for item in history.of_kind("metric") if item.meaning.direction and item.meaning.is_free]
    return any(_gains(item) for item in [*_judged_metrics(history), *free])


def _gains(series: Series) -> bool:
    """Whether a metric is better at the end than at its beginning, by more than its noise."""
    if len(series) < 3:
        return False
    sign = 1.0 if series.meaning.direction == "max" else -1.0
    if len(series) < 6:
        return bool(sign * (series.values[-1] - series.values[0]) > 0.0)
    difference, error = change(series.values)
    return sign * difference > max(3.0 * error, noise_of(series.values))


def _training_gains(history: History) -> bool:
    return any(moved(item.values) and change(item.values)[0] < 0.0 for item in _training_losses(history))


def _is_best(series: Series) -> bool:
    """Whether there is nothing to gain: no error, or all of it right (as a share or in percent)."""
    value = float(series.values[-1])
    return value in (1.0, 100.0) if series.meaning.direction == "max" else value == 0.0


def _is_flat(series: Series) -> bool:
    """Whether its thirds agree within their errors, and a change of ``_POWER`` of its size would show."""
    parts = [mean_and_error(part) for part in thirds(series.values)]
    worst, size = max(error for _, error in parts), abs(mean_and_error(series.values)[0])
    spread = max(mean for mean, _ in parts) - min(mean for mean, _ in parts)
    return 3.0 * worst <= _POWER * size and spread <= 3.0 * worst and not _falls_at_first(series)


def _falls_at_first(series: Series) -> bool:
    """Whether all there was to learn may have been learned before the second point."""
    rest = series.values[1:]
    return float(series.values[0]) > float(rest.mean()) + 4.0 * float(rest.std(ddof=1))
