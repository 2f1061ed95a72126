"""Outputs that are the same for every item (D5)."""

from __future__ import annotations

from collections.abc import Sequence

from distsys.health.causes import CONSTANT_OUTPUT
from distsys.health.check import View
from distsys.health.flight.battery import explained
from distsys.health.flight.spreads import ROUNDING, all_below, spreads
from distsys.health.memory import Remembering
from distsys.health.verdict import Status, Verdict


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
        trained = {name: view.outputs[name] for name in view.trained}
        found = spreads(trained, batch=view.batch, fields=view.field_specs) if view.is_warm else {}
        limits = {"exact": ROUNDING, "small": self._least}
        bad = {kind: name for kind, limit in limits.items() if (name := all_below(found, limit))}
        self.bad.update(bad, step=view.step)
        lasting = self.bad.lasting(self._looks)
        if not lasting or view.progress < self._warn_at:
            return []
        kind = "exact" if "exact" in lasting else "small"
        status: Status = "stop" if kind == "exact" or view.progress >= self._stop_at else "warn"
        symptom = CONSTANT_OUTPUT.verdict(status, bad[kind], step=self.bad.onset(kind))
        return [symptom if kind == "exact" or status == "warn" else explained(symptom, view)]
