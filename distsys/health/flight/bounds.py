"""Outputs that lie on a bound, or leave their range (D4, D23)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distsys.health.causes import OUT_OF_BOUNDS, OUTPUT_ON_BOUND
from distsys.health.check import View
from distsys.health.flight.rows import on_bound, rows_of, target_of
from distsys.health.memory import Remembering
from distsys.health.verdict import Status, Verdict
from distsys.specs import FieldSpec


class OutputsOnBound(Remembering):
    """Most values of an output equal its largest or smallest one exactly, and more of them than the target's (D4).

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
    rows = rows_of(view.outputs[name])
    return (0.0, "") if rows is None else on_bound(rows, target_of(view, name))


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
            share, worst = beyond_range(view.outputs[name], view.field_specs[name])
            if share > self._share or worst > self._beyond:
                bad[name] = share, range_text(view.field_specs[name], share, worst)
        self.bad.update(bad, step=view.step)
        if view.progress < self._warn_at:
            return []
        return [
            OUT_OF_BOUNDS.verdict("stop" if bad[n][0] > 0.5 else "warn", bad[n][1], step=self.bad.onset(n))
            for n in self.bad.lasting(self._looks)
        ][:1]


def beyond_range(output: Tensor, field: FieldSpec) -> tuple[float, float]:
    """Share of values outside the range of ``field``, and how far the worst is in widths of it; 0 without a range."""
    rows, width = rows_of(output), field.high - field.low
    if rows is None or not width < float("inf"):
        return 0.0, 0.0
    excess = torch.maximum(field.low - rows, rows - field.high)
    return float((excess > 1e-3 * width).float().mean()), float(excess.max()) / width


def range_text(field: FieldSpec, share: float, worst: float) -> str:
    """What to say of an output that leaves its range."""
    text = f"{share:.0%} of '{field.name}' outside [{field.low:g}, {field.high:g}] {field.unit}"
    return f"{text}, the worst by {worst:.2g} of its width"
