"""Outputs that are the same for every item, lie on a bound, or leave their range (D5, D4, D23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distsys.health.causes import CONSTANT_OUTPUT, OUT_OF_BOUNDS, OUTPUT_ON_BOUND
from distsys.health.check import View
from distsys.health.flight.rows import rows_of, target_of
from distsys.health.memory import Remembering
from distsys.health.verdict import Status, Verdict

_FEWEST_ITEMS, _FEWEST_VALUES, _LONG = 4, 16, 8
_ROUNDING = 1e-5
"""Relative spread of a value that differs from item to item by the rounding of float32 alone."""


class ConstantOutputs(Remembering):
    """Every output is the same for all items, or along every item, where the target is not (D5).

    An output of a target's shape, or of a field's name, is judged by that field's spread; where no output has one,
    all are judged by their own size, and only what is constant to rounding counts.

    Args:
        least: spread over the target's spread, below which an output counts as constant.
        looks: in a row.
        warn_at, stop_at: share of the planned steps before which a small spread is not judged; outputs that are
            constant to rounding are a ``stop`` from ``warn_at`` on.
    """

    name = "constant_outputs"

    def __init__(self, *, least: float = 0.02, looks: float = 8, warn_at: float = 0.1, stop_at: float = 0.5) -> None:
        super().__init__()
        self._least, self._looks, self._warn_at, self._stop_at = least, looks, warn_at, stop_at

    def look(self, view: View) -> Sequence[Verdict]:
        found = _spreads(view) if view.is_warm else {}
        bad = {kind: name for kind in ("exact", "small") if (name := self._all_below(found, kind))}
        self.bad.update(bad, step=view.step)
        lasting = self.bad.lasting(self._looks)
        if not lasting or view.progress < self._warn_at:
            return []
        kind = "exact" if "exact" in lasting else "small"
        status: Status = "stop" if kind == "exact" or view.progress >= self._stop_at else "warn"
        return [CONSTANT_OUTPUT.verdict(status, bad[kind], step=self.bad.onset(kind))]

    def _all_below(self, found: Mapping[str, tuple[float, str]], kind: str) -> str:
        """What to say of the first output when all are below the limit of ``kind``; else nothing."""
        limit = self._least if kind == "small" else _ROUNDING
        if not found or any(not share < limit for share, _ in found.values()):
            return ""
        name, (share, what) = min(found.items())
        return f"'{name}' varies {what} by {share:.2g} of it"


def _spreads(view: View) -> dict[str, tuple[float, str]]:
    """Spread of each trained output and beside what; outputs that have a target to compare with, if there is one."""
    compared: dict[str, tuple[float, str]] = {}
    alone: dict[str, tuple[float, str]] = {}
    for name in view.trained:
        rows = rows_of(view.outputs[name])
        if rows is None or len(rows) < _FEWEST_ITEMS or not bool(torch.isfinite(rows).all()):
            continue
        alone[name] = _share(_across(rows), float(rows.square().mean().sqrt())), "from item to item, beside its size,"
        if (target := target_of(view, name)) is None or not _across(target) > 0:
            continue
        compared[name] = _share(_across(rows), _across(target)), "from item to item, beside its target's spread,"
        if rows.shape[1] >= _LONG and _within(target) > 0:
            within = _share(_within(rows), _within(target)), "along an item, beside its target's spread,"
            compared[name] = min(compared[name], within)
    return compared or {name: value for name, value in alone.items() if value[0] < _ROUNDING or not compared}


def _share(value: float, whole: float) -> float:
    return value / whole if whole > 0 else 0.0


def _across(rows: Tensor) -> float:
    return float(rows.std(dim=0, correction=0).square().mean().sqrt())


def _within(rows: Tensor) -> float:
    return float(rows.std(dim=1, correction=0).mean())


class OutputsOnBound(Remembering):
    """Most values of an output equal its largest or smallest one exactly, and more of them than the target's (D4).

    A smallest value of 0 is a rectifier's and does not count.

    Args:
        warn_share, stop_share: of the values.
        looks: in a row.
        stop_at: share of the planned steps.
    """

    name = "outputs_on_bound"

    def __init__(
        self, *, warn_share: float = 0.5, stop_share: float = 0.9, looks: float = 4, stop_at: float = 0.1
    ) -> None:
        super().__init__()
        self._warn_share, self._stop_share, self._looks, self._stop_at = warn_share, stop_share, looks, stop_at

    def look(self, view: View) -> Sequence[Verdict]:
        found = {name: _on_bound(view, name) for name in view.trained} if view.is_warm else {}
        self.bad.update([name for name, (share, _) in found.items() if share > self._warn_share], step=view.step)
        verdicts = []
        for name in self.bad.lasting(self._looks):
            share, bounds = found[name]
            is_late = view.progress >= self._stop_at
            status: Status = "stop" if share > self._stop_share and is_late else "warn"
            evidence = f"{share:.0%} more of the values of '{name}' than of its target's lie exactly on {bounds}"
            verdicts.append(OUTPUT_ON_BOUND.verdict(status, evidence, step=self.bad.onset(name)))
        return verdicts[:1]


def _on_bound(view: View, name: str) -> tuple[float, str]:
    """Share of values on a bound beyond the target's share, and the bounds."""
    rows = rows_of(view.outputs[name])
    if rows is None or rows.numel() < _FEWEST_VALUES:
        return 0.0, ""
    share, bounds = _at_extremes(rows)
    target = target_of(view, name)
    return share - (_at_extremes(target)[0] if target is not None else 0.0), bounds


def _at_extremes(rows: Tensor) -> tuple[float, str]:
    low, high = float(rows.min()), float(rows.max())
    if not low < high:
        return 0.0, ""
    shares = {value: float((rows == value).float().mean()) for value in (low, high) if value != 0.0}
    return sum(shares.values()), " or ".join(f"{value:.4g}" for value in shares)


class OutputsInRange(Remembering):
    """An output that has a field's name leaves the range that the field declares (D23).

    Args:
        share: of values outside.
        beyond: distance of the worst value over the width of the range.
        looks: in a row.
        warn_at: share of the planned steps before which nothing is judged.
    """

    name = "outputs_in_range"

    def __init__(self, *, share: float = 0.05, beyond: float = 1.0, looks: float = 4, warn_at: float = 0.1) -> None:
        super().__init__()
        self._share, self._beyond, self._looks, self._warn_at = share, beyond, looks, warn_at

    def look(self, view: View) -> Sequence[Verdict]:
        bad: dict[str, tuple[float, str]] = {}
        for name in sorted(view.trained & view.field_specs.keys()):
            field = view.field_specs[name]
            rows = rows_of(view.outputs[name])
            width = field.high - field.low
            if rows is None or not width < float("inf"):
                continue
            excess = torch.maximum(field.low - rows, rows - field.high)
            share, worst = float((excess > 1e-3 * width).float().mean()), float(excess.max()) / width
            if share > self._share or worst > self._beyond:
                text = f"{share:.0%} of '{name}' outside [{field.low:g}, {field.high:g}] {field.unit}"
                bad[name] = share, f"{text}, the worst by {worst:.2g} of its width"
        self.bad.update(bad, step=view.step)
        if view.progress < self._warn_at:
            return []
        return [
            OUT_OF_BOUNDS.verdict("stop" if bad[n][0] > 0.5 else "warn", bad[n][1], step=self.bad.onset(n))
            for n in self.bad.lasting(self._looks)
        ][:1]
