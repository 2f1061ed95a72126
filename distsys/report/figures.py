"""Figures of a training and of what stands beside it, whatever the domain; small enough for a phone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from distsys.report.vector import BLUE, GREEN, GREY, ORANGE, RED, tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = (4.2, 2.6)
"""Inches of a figure of which several stand side by side."""
_STYLES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (ORANGE, ":"), (GREY, "-"), ("#000000", "--"))


def panel(size: tuple[float, float] = SMALL) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.35, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes


def learning_curve(
    steps: Sequence[int],
    values: Sequence[float],
    *,
    label: str,
    chosen_step: int | None,
    band: tuple[float, float] = (-math.inf, math.inf),
) -> Figure:
    """One quantity over steps: the chosen checkpoint as a dashed line, where a constraint allows it shaded."""
    figure, axes = panel()
    axes.plot(steps, values, color=BLUE, linewidth=1.4)
    for step, value in zip(steps, values, strict=True):
        (mark,) = axes.plot([step], [value], ".", color=BLUE, markersize=5)
        tip(mark, f"step {step}: {value:.5g}")
    if any(map(math.isfinite, band)):
        low, high = axes.get_ylim()
        edges = [edge for edge in band if math.isfinite(edge)]
        low, high = min(low, *edges), max(high, *edges)
        axes.axhspan(max(band[0], low), min(band[1], high), color=GREEN, alpha=0.13, linewidth=0)
        for edge in edges:
            axes.axhline(edge, color=GREEN, linewidth=0.9)
        axes.set_ylim(low, high)
    if chosen_step is not None:
        axes.axvline(chosen_step, color=RED, linewidth=1.0, linestyle="--")
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel(label, fontsize=9)
    return figure


def shared_curves(curves: Mapping[str, Sequence[tuple[int, float]]], *, label: str) -> Figure:
    """Quantities of one kind over steps, each as (step, value), on the same axes."""
    figure, axes = panel()
    for (name, points), (colour, style) in zip(curves.items(), _styles(len(curves)), strict=True):
        axes.plot(*zip(*points, strict=True), color=colour, linestyle=style, linewidth=1.4, label=name)
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel(label, fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _styles(count: int) -> list[tuple[str, str]]:
    return [_STYLES[index % len(_STYLES)] for index in range(count)]


def beside(rows: Sequence[tuple[str, str, float]], *, error: float, label: str) -> Figure:
    """The model and everything beside it on one scale.

    Args:
        rows: name, kind (``model``, or that of a baseline) and value; what has no value is left out.
        error: standard error of the model's value.
    """
    shown = [row for row in rows if math.isfinite(row[2])]
    names = [f"{name} (bound)" if kind == "bound" else name for name, kind, _ in shown]
    figure, axes = panel((5.0, 0.9 + 0.32 * len(shown)))
    kinds = {"model": (BLUE, "o"), "peer": ("#000000", "s"), "trivial": (GREY, "v"), "bound": (GREEN, "D")}
    for place, (name, kind, value) in enumerate(shown):
        colour, marker = kinds[kind]
        (mark,) = axes.plot(
            [value], [place], marker=marker, color=colour, markersize=7, linestyle="none",
            markerfacecolor="none" if kind == "bound" else colour,
        )  # fmt: skip
        tip(mark, f"{name}: {value:.5g}")
        if kind == "model":
            axes.errorbar([value], [place], xerr=[error], color=colour, capsize=3)
            axes.axvline(value, color=BLUE, linewidth=0.7, linestyle=":")
    axes.set_yticks(range(len(shown)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(label, fontsize=9)
    return figure


def rank_change(
    names: Sequence[str], before: Sequence[float], after: Sequence[float], *, label: str, winner: int | None
) -> Figure:
    """Each candidate's metric under the search's weights (left) and the final weights (right)."""
    figure, axes = panel((5.0, 3.0))
    for index, name in enumerate(names):
        is_winner = index == winner
        (line,) = axes.plot(
            [0, 1], [before[index], after[index]], color=BLUE if is_winner else GREY, marker="o",
            linewidth=2.2 if is_winner else 1.2, linestyle="-" if is_winner else "--",
        )  # fmt: skip
        tip(line, f"{name}: {before[index]:.4g}, then {after[index]:.4g}")
        if math.isfinite(after[index]):
            axes.annotate(f" {name}", (1, after[index]), fontsize=9, va="center")
    axes.set_xticks([0, 1], ["search\n(conservative weights)", "handoff\n(strong weights)"], fontsize=9)
    axes.set_xlim(-0.2, 1.5)
    axes.set_ylabel(label, fontsize=9)
    return figure
