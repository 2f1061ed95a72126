"""One trial as a study holds it, as a table shows it, and as its own folder tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from distsys.health.verdict import Verdict, is_sick

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
NUMBER = "number"
VERDICTS = "verdicts"


@dataclass(frozen=True)
class TrialRow:
    """One trial of the study, for tables.

    Args:
        value: its selection metric, NaN when it has none.
        state: ``complete``, ``pruned`` or ``failed``.
        verdicts: what is wrong with it, or why it failed; empty when healthy.
        violations: by constraint, of a complete one.
    """

    number: int
    params: Mapping[str, Any]
    value: float
    state: str
    verdicts: tuple[Verdict, ...] = ()
    violations: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_sick(self) -> bool:
        return is_sick(self.verdicts)


@dataclass(frozen=True)
class TrialOnDisk:
    """One trial as its own folder tells it.

    Args:
        state: how it is to be told to a study: ``complete``, ``pruned``, ``failed``, or ``running`` where it
            has not ended.
        value: its selection metric, NaN but for a complete one.
        readings: what was reported of the metric, by step; empty where that cannot be read.
        violations: by constraint, of a complete one.
    """

    number: int
    params: Mapping[str, Any]
    state: str
    value: float = math.nan
    readings: Mapping[int, float] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.state != "running"

    def is_row(self, row: TrialRow) -> bool:
        """Whether a study says the same of it."""
        own = self._row()
        values = (own.value, row.value)
        is_same = (
            values[0] == values[1] or all(map(math.isnan, values)) or (row.state == "pruned" and not self.readings)
        )
        theirs = (row.params, row.state, row.verdicts, row.violations)
        return is_same and (own.params, own.state, own.verdicts, own.violations) == theirs

    def _row(self) -> TrialRow:
        state = "failed" if self.state == "complete" and not math.isfinite(self.value) else self.state
        finite = {step: value for step, value in self.readings.items() if math.isfinite(value)}
        values = {"complete": self.value, "pruned": finite[max(finite)] if finite else math.nan}
        violations = {name: storable(value) for name, value in self.violations.items()}
        return TrialRow(self.number, dict(self.params), values.get(state, math.nan), state, self.verdicts, violations)

    def frozen(self, distributions: dict[str, BaseDistribution], *, is_own: bool = True) -> FrozenTrial:
        """What a study holds that was told of it; a trial of another one has no number there."""
        row = self._row()
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        number = {NUMBER: self.number} if is_own else {}
        verdicts = {VERDICTS: [verdict.content() for verdict in self.verdicts]} if self.verdicts else {}
        return optuna.trial.create_trial(
            state=states[row.state],
            value=row.value if math.isfinite(row.value) else None,
            params=dict(self.params),
            distributions=distributions,
            user_attrs={**number, **verdicts},
            intermediate_values={step: value for step, value in self.readings.items() if math.isfinite(value)},
            constraints=dict(row.violations) or None,
        )


def storable(violation: float) -> float:
    """A violation that Optuna takes."""
    return violation if math.isfinite(violation) else 1e9


def row_of(number: int, trial: FrozenTrial) -> TrialRow:
    """The row of an attempt that ended."""
    names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    value = trial.value if trial.value is not None else math.nan
    if trial.state is TrialState.PRUNED and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    verdicts = Verdict.read_all(trial.user_attrs.get(VERDICTS, ()))
    return TrialRow(number, dict(trial.params), value, names[trial.state], verdicts, dict(trial.constraints or {}))
