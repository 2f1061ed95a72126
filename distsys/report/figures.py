"""Figures that every experiment has, whatever its domain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, RED, GREY = "#2b6cb0", "#c53030", "#a0aec0"


def learning_curves(steps: Sequence[int], curves: Mapping[str, Sequence[float]], *, best_step: int | None) -> Figure:
    """One small panel a curve over steps, the chosen checkpoint marked."""
    from matplotlib.figure import Figure

    columns = min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.3 * rows), layout="constrained")
    for index, (name, values) in enumerate(curves.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.plot(steps, values, color=BLUE, linewidth=1.4, marker="." if len(steps) < 15 else None)
        if best_step is not None:
            axes.axvline(best_step, color=RED, linewidth=0.8, linestyle="--")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    return figure


def searched_values(
    params: Mapping[str, Sequence[Any]], values: Sequence[float], *, label: str, sick: Sequence[bool]
) -> Figure:
    """The selection metric over each searched parameter; sick trials in red."""
    from matplotlib.figure import Figure

    columns = min(3, len(params))
    rows = math.ceil(len(params) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
    colours = [RED if ill else BLUE for ill in sick]
    for index, (name, points) in enumerate(params.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.scatter(points, values, c=colours, s=18, alpha=0.8)
        if _spans_decades(points):
            axes.set_xscale("log")
        axes.set_xlabel(name, fontsize=8)
        axes.set_ylabel(label, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    return figure


def rank_change(
    names: Sequence[str], before: Sequence[float], after: Sequence[float], *, label: str, winner: int | None
) -> Figure:
    """Each candidate's metric under the search's weights (left) and the final weights (right)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for index, name in enumerate(names):
        colour = RED if index == winner else GREY
        axes.plot(
            [0, 1], [before[index], after[index]], color=colour, marker="o", linewidth=2 if index == winner else 1.2
        )
        axes.annotate(f" {name}", (1, after[index]), fontsize=8, va="center")
    axes.set_xticks([0, 1], ["search\n(conservative weights)", "handoff\n(strong weights)"], fontsize=8)
    axes.set_xlim(-0.15, 1.45)
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, axis="y")
    return figure


def _spans_decades(points: Sequence[Any]) -> bool:
    numbers = [value for value in points if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(points) and min(numbers, default=0) > 0 and max(numbers) / min(numbers) > 20
