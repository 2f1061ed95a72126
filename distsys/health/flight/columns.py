"""Outputs of which one kind of column has all of the gradient, by its unit (D22, D24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distsys.health.causes import ONE_COLUMN
from distsys.health.check import View
from distsys.health.columns import ALONE, UNDONE, alone, answered, errors
from distsys.health.flight.rows import MOST_ITEMS
from distsys.health.memory import RememberingValues, fell_a_tenth
from distsys.health.verdict import Status, Verdict


class OneColumn(RememberingValues):
    """One kind of an output's declared columns has almost all of the gradient, while others are not learned (D24).

    Judged are outputs that answer a field with ``columns``, by the objective's gradient with respect to them, over a
    whole batch. A kind whose error is small beside its target's spread has learned all it can, and may rest; so may
    one whose target does not vary. ``stop`` where no other kind has come nearer since it was first seen.

    Args:
        share: of the squared gradient norm.
        undone: error over the target's spread, above which a kind is not learned.
        looks: in a row.
        stop_at: share of the planned steps.
    """

    name = "one_column"

    def __init__(self, *, share: float = ALONE, undone: float = UNDONE, looks: float = 4, stop_at: float = 0.5) -> None:
        super().__init__()
        self._share, self._undone, self._looks, self._stop_at = share, undone, looks, stop_at

    def look(self, view: View) -> Sequence[Verdict] | None:
        if not view.is_warm or not view.columns:
            return None
        found = {name: drowned for name in view.columns if (drowned := self._drowned(view, name))}
        self.bad.update(found, step=view.step)
        return [self._verdict(view, name, found[name]) for name in self.bad.lasting(self._looks)][:1]

    def _drowned(self, view: View, output: str) -> dict[str, float]:
        """Errors of the kinds that are not learned because another has the gradient."""
        name = answered(output, view.outputs, view.batch, view.field_specs.values())
        assert name is not None, "columns are those of the field that an output answers"
        columns = view.field_specs[name].columns
        left = errors(view.outputs[output][:MOST_ITEMS], view.batch[name][:MOST_ITEMS], columns)
        for kind, error in left.items():
            self.values.add(f"{output} {kind}", error)
        first = alone(view.columns[output], self._share)
        if first is None:
            return {}
        return {kind: error for kind, error in left.items() if kind != first and error > self._undone}

    def _verdict(self, view: View, output: str, drowned: Mapping[str, float]) -> Verdict:
        squares = view.columns[output]
        first = max(squares, key=lambda kind: squares[kind])
        kind = max(drowned, key=lambda kind: drowned[kind])
        is_stuck = not any(fell_a_tenth(self.values, f"{output} {item}") for item in drowned)
        status: Status = "stop" if is_stuck and view.progress >= self._stop_at else "warn"
        evidence = (
            f"'{first}' has {squares[first] / sum(squares.values()):.4%} of the squared gradient norm of '{output}', "
            f"and the error of '{kind}' is {drowned[kind]:.2f} of its target's spread"
        )
        return ONE_COLUMN.verdict(status, evidence, step=self.bad.onset(output))
