"""Figures of a search: what was tried in which order, what decided, and where in the space it went well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distsys.report.figures import panel
from distsys.report.vector import BLUE, GREY, RED, tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKS = {"healthy": (BLUE, "o", "healthy"), "sick": (RED, "X", "sick"), "pruned": (GREY, "v", "stopped early")}


@dataclass(frozen=True)
class Tried:
    """A trial as figures show it.

    Args:
        kind: ``healthy``, ``sick`` or ``pruned``.
        value: its metric, at the step at which it ended.
    """

    number: int
    kind: str
    value: float
    params: Mapping[str, Any]

    def __str__(self) -> str:
        params = ", ".join(f"{name} {_plain(value)}" for name, value in self.params.items())
        return f"trial {self.number}, {_MARKS[self.kind][2]}: {self.value:.4g}; {params}"


def history(trials: Sequence[Tried], *, label: str, is_max: bool) -> Figure:
    """The metric trial by trial, and the best healthy one so far."""
    figure, axes = panel((6.4, 3.0))
    best: list[tuple[int, float]] = []
    for trial in trials:
        _marked(axes, trial.number, trial)
        if trial.kind == "healthy":
            last = best[-1][1] if best else trial.value
            best.append((trial.number, max(last, trial.value) if is_max else min(last, trial.value)))
    if best:
        axes.step(*zip(*best, strict=True), where="post", color=BLUE, linewidth=1.2, alpha=0.7)
    _legend(axes, trials)
    axes.set_xlabel("trial", fontsize=9)
    axes.set_ylabel(label, fontsize=9)
    return figure


def slices(trials: Sequence[Tried], *, label: str, log: Mapping[str, bool]) -> dict[str, Figure]:
    """The metric over each searched parameter, on the scale on which it was searched (``log`` by name)."""
    found = {}
    for name, is_log in log.items():
        figure, axes = panel()
        numeric = all(_is_number(trial.params[name]) for trial in trials)
        for trial in trials:
            _marked(axes, trial.params[name] if numeric else str(trial.params[name]), trial)
        if is_log:
            axes.set_xscale("log")
        axes.set_xlabel(name, fontsize=9)
        axes.set_ylabel(label, fontsize=9)
        found[name] = figure
    return found


def parallel(trials: Sequence[Tried], *, label: str, log: Mapping[str, bool]) -> Figure:
    """Every trial as a line through its parameters to its metric, each axis from its least to its largest value."""
    names = [*log, label]
    figure, axes = panel((max(5.0, 1.5 * len(names)), 3.4))
    columns = [[trial.params[name] for trial in trials] for name in log] + [[trial.value for trial in trials]]
    places = [_places(column, is_log=log.get(name, False)) for name, column in zip(names, columns, strict=True)]
    for index, trial in enumerate(trials):
        colour, marker, _ = _MARKS[trial.kind]
        (line,) = axes.plot(
            range(len(names)), [column[index] for column in places], color=colour, marker=marker, markersize=4,
            linewidth=1.2, alpha=0.8, linestyle="-" if trial.kind == "healthy" else ":",
        )  # fmt: skip
        tip(line, str(trial))
    for place, column in enumerate(columns):
        low, high = _ends(column)
        axes.text(place, -0.06, low, ha="center", va="top", fontsize=8)
        axes.text(place, 1.06, high, ha="center", va="bottom", fontsize=8)
        axes.axvline(place, color=GREY, linewidth=0.7)
    axes.set_xticks(range(len(names)), [name.replace(".", ".\n") for name in names], fontsize=8)
    axes.tick_params(axis="x", length=0, pad=14)
    axes.set_yticks([])
    axes.set_ylim(-0.12, 1.12)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def importance_bars(shares: Mapping[str, float]) -> Figure:
    """How much of what told good trials from others lies in each parameter."""
    figure, axes = panel((6.4, 0.9 + 0.36 * len(shares)))
    for place, (name, share) in enumerate(shares.items()):
        (bar,) = axes.barh([place], [share], color=BLUE, height=0.6)
        tip(bar, f"{name}: {share:.0%}")
    axes.set_yticks(range(len(shares)), list(shares), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel("importance (share)", fontsize=9)
    return figure


def _marked(axes: Axes, place: float | str, trial: Tried) -> None:
    colour, marker, _ = _MARKS[trial.kind]
    (mark,) = axes.plot([place], [trial.value], marker=marker, color=colour, markersize=6, linestyle="none", alpha=0.9)
    tip(mark, str(trial))


def _legend(axes: Axes, trials: Sequence[Tried]) -> None:
    for kind in dict.fromkeys(trial.kind for trial in trials):
        colour, marker, label = _MARKS[kind]
        axes.plot([], [], marker=marker, color=colour, linestyle="none", label=label)
    axes.legend(fontsize=8, frameon=False)


def _places(column: Sequence[Any], *, is_log: bool) -> list[float]:
    """From 0 to 1 along an axis; a column of one value stands in the middle."""
    if all(map(_is_number, column)):
        numbers = [math.log(value) if is_log else float(value) for value in column]
    else:
        order = sorted({str(value) for value in column})
        numbers = [float(order.index(str(value))) for value in column]
    low, high = min(numbers), max(numbers)
    return [(value - low) / (high - low) if high > low else 0.5 for value in numbers]


def _ends(column: Sequence[Any]) -> tuple[str, str]:
    if all(map(_is_number, column)):
        return _plain(min(column)), _plain(max(column))
    order = sorted({str(value) for value in column})
    return order[0], order[-1]


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
