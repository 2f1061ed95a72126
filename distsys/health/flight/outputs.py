"""Outputs that are the same for every item (D5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distsys.health.causes import CONSTANT_OUTPUT
from distsys.health.check import View
from distsys.health.flight.rows import rows_of, target_of
from distsys.health.memory import Remembering
from distsys.health.verdict import Status, Verdict

_FEWEST_ITEMS, _LONG = 4, 8
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
