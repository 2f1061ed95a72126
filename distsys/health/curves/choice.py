"""What the loss would choose against what the metric chooses, and what the choice violates (D14)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distsys.health.causes import LOSS_AGAINST_METRIC
from distsys.health.curves.history import History, Series, shared, weights_move
from distsys.health.curves.noise import luck, noise_of, smooth
from distsys.health.verdict import Verdict

_FEWEST = 5
_PART = 0.2
"""Of the metric's own range: two choices that differ by less than a fifth of it are one to a person."""
_RIVALS = {"precision", "recall", "sensitivity", "specificity"}
"""Metrics that are traded for each other: one of them alone chooses nothing."""


def disagree(history: History) -> Iterator[Verdict]:
    """The checkpoint of least validation loss is worse by the metric than the best one, beyond noise and in substance.

    Without a declared metric, most of those whose names say a direction have to be of one mind.
    """
    losses = [item for item in history.of_kind("loss") if item.meaning.split in ("validation", "test")]
    if weights_move(history):  # the loss of one step and of another are then not one quantity
        return
    metrics = _choosing(history)
    for loss in losses[:1] if not any(item.meaning.is_free for item in losses) else []:
        found = [text for item in metrics if (text := _disagreement(history, loss, item))]
        if found and 2 * len(found) > len(metrics):
            step, evidence = found[0]
            yield LOSS_AGAINST_METRIC.verdict("warn", evidence, step=step)


def outside_bands(history: History) -> Iterator[Verdict]:
    """The chosen checkpoint is outside of a band; without one, the last point is."""
    doubtful = {item.cause for item in history.known}
    for band in history.bands:
        if f"{band.metric} doubtful" in doubtful:
            continue  # the run itself knew the standard error
        series = history.get(band.metric)
        if series is None or not len(series):
            continue
        chosen = history.chosen is not None and np.isin(history.chosen, series.steps)
        step = history.chosen if chosen and history.chosen is not None else series.step(-1)
        verdict = band.judge(series.at(step), step=step)
        if verdict.status != "ok":
            yield verdict


def _choosing(history: History) -> list[Series]:
    if history.selection is not None:
        chosen = history.get(history.selection.name)
        return [chosen] if chosen is not None else []
    found = [item for item in history.of_kind("metric") if item.meaning.split != "train" and item.meaning.direction]
    return [item for item in found if not set(item.meaning.of.split()) & _RIVALS and not item.meaning.is_free]


def _disagreement(history: History, loss: Series, metric: Series) -> tuple[int, str] | None:
    """Step of the loss's choice and what to say of it, or None where both choose alike."""
    steps, losses, values = shared(loss, metric)
    if len(steps) < _FEWEST or metric.name == loss.name:
        return None
    sign = 1.0 if metric.meaning.direction == "max" else -1.0
    by_loss, by_metric = int(np.argmin(losses)), int(np.argmax(sign * values))
    lost = sign * float(values[by_metric] - values[by_loss])
    tie = history.tie if history.tie is not None else (2.0 + luck(len(steps))) * noise_of(values)
    worse = float(losses[by_metric] - losses[by_loss])
    is_clear = lost > tie and worse > (2.0 + luck(len(steps))) * noise_of(losses) / 2.0
    if not is_clear or lost <= _PART * float(np.ptp(smooth(values))):
        return None
    return int(steps[by_loss]), (
        f"{loss.name} is least at step {steps[by_loss]:.0f}, where {metric.name} = {values[by_loss]:.4g}; "
        f"{metric.name} is best at step {steps[by_metric]:.0f} with {values[by_metric]:.4g}, noise {tie:.2g}"
    )
