"""The Optuna study on disk: the single truth of a search, asked for parameters and told results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from distsys.config.space import Dimension, SearchSpace
from distsys.domains.protocol import MetricSpec
from distsys.files import cut_torn_tail
from distsys.health.verdict import Verdict, is_sick

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_NUMBER = "number"
_VERDICTS = "verdicts"


@dataclass(frozen=True)
class TrialRow:
    """One trial of the study, for tables.

    Args:
        value: its selection metric, NaN when it has none.
        state: ``complete``, ``pruned`` or ``failed``.
        verdicts: what is wrong with it, or why it failed; empty when healthy.
    """

    number: int
    params: Mapping[str, Any]
    value: float
    state: str
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_sick(self) -> bool:
        return is_sick(self.verdicts)


class RungPruner(BasePruner):
    """Asynchronous successive halving (Li et al., arXiv 1810.05934) in which ties below the noise floor live.

    Args:
        first_step: step of the first rung; the others follow by powers of ``reduction_factor``.
        reduction_factor: one in this many trials at a rung goes on.
        spec: direction of the selection metric.
    """

    def __init__(self, *, first_step: int, reduction_factor: int, spec: MetricSpec) -> None:
        self._first, self._factor, self._spec = first_step, reduction_factor, spec
        self.noise_floor = 0.0
        """Of the trial that is about to be judged; in memory, as every write to the study costs a sync."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None or not self._is_rung(step):
            return False
        others = [
            item.intermediate_values[step]
            for item in study.get_trials(deepcopy=False)
            if step in item.intermediate_values
        ]
        values = sorted((value for value in others if math.isfinite(value)), reverse=self._spec.direction == "max")
        if len(values) < self._factor:
            return False
        cutoff = values[max(1, len(values) // self._factor) - 1]
        value = trial.intermediate_values[step]
        return self._spec.better(cutoff, than=value) and abs(value - cutoff) > self.noise_floor

    def _is_rung(self, step: int) -> bool:
        rung = self._first
        while rung < step:
            rung *= self._factor
        return rung == step


class Study:
    """A search's trials on disk; opening it again goes on where it was.

    Args:
        path: the journal file.
        space: what is searched.
        spec: the selection metric.
        seed: of the sampler.
        num_trials: trials asked for in all.
        startup_trials: of them, drawn at random first.
        pruner: decides at each report whether a trial goes on; None lets all.
    """

    def __init__(
        self,
        path: Path,
        *,
        space: SearchSpace,
        spec: MetricSpec,
        seed: int,
        num_trials: int,
        startup_trials: int,
        pruner: RungPruner | None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        cut_torn_tail(path)  # Optuna reads one, but after one more append the journal never opens again
        self._distributions = {
            name: _distribution(item, name in space.integers) for name, item in space.dimensions.items()
        }
        self._num_trials, self._spec, self._pruner = num_trials, spec, pruner
        storage = JournalStorage(JournalFileBackend(str(path)))
        direction = StudyDirection.MAXIMIZE if spec.direction == "max" else StudyDirection.MINIMIZE
        self._study = optuna.create_study(
            storage=storage,
            study_name="search",
            direction=direction,
            load_if_exists=True,
            pruner=pruner or optuna.pruners.NopPruner(),
        )
        known = len(self._study.get_trials(deepcopy=False))
        # A sampler restarted with its old seed would draw its old parameters again.
        self._study.sampler = optuna.samplers.TPESampler(seed=seed + 7919 * known, n_startup_trials=startup_trials)
        self._open: dict[int, optuna.Trial] = {}
        self._recover()
        if known == 0 and space.priors():
            self._study.enqueue_trial(space.priors())

    def _recover(self) -> None:
        """Queue the parameters of trials that a crash left running, then mark those as failed.

        In this order: a crash between the two leaves a trial that is recovered again, never one lost.
        """
        latest = self._latest_attempts()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            number = trial.user_attrs.get(_NUMBER)
            if number is None:
                self._study.enqueue_trial(trial.params)
            elif latest[number].number == trial.number:
                self._study.enqueue_trial(trial.params, user_attrs={_NUMBER: number})
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _latest_attempts(self) -> dict[int, FrozenTrial]:
        """By our own number: the attempt that counts, which is the last."""
        trials = self._study.get_trials(deepcopy=False)
        return {item.user_attrs[_NUMBER]: item for item in trials if _NUMBER in item.user_attrs}

    @property
    def remaining(self) -> int:
        """Trials still to be asked for."""
        return self._num_trials - len(self.rows()) - len(self._open)

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Number and parameters of the next trial; one that a crash interrupted keeps its number."""
        trial = self._study.ask(self._distributions)
        if _NUMBER not in trial.user_attrs:
            trial.set_user_attr(_NUMBER, max(self._latest_attempts(), default=-1) + 1)
        number = int(trial.user_attrs[_NUMBER])
        self._open[number] = trial
        return number, dict(trial.params)

    def report(self, number: int, *, step: int, value: float, noise_floor: float) -> bool:
        """Note an intermediate value; True when the trial should stop."""
        trial = self._open[number]
        if self._pruner is not None:
            self._pruner.noise_floor = noise_floor
        if not math.isfinite(value):
            return False
        trial.report(value, step)
        return trial.should_prune()

    def complete(
        self, number: int, *, value: float, violations: Mapping[str, float], verdicts: Sequence[Verdict]
    ) -> None:
        """The trial ran to its end; constraints teach the sampler where health lies."""
        trial = self._open.pop(number)
        for name, violation in violations.items():
            trial.set_constraint(name, violation if math.isfinite(violation) else 1e9)
        self._note(trial, verdicts)
        if math.isfinite(value):
            self._study.tell(trial, value)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def prune(self, number: int, *, verdicts: Sequence[Verdict]) -> None:
        """The trial was stopped early because others were clearly better."""
        trial = self._open.pop(number)
        self._note(trial, verdicts)
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, number: int, verdict: Verdict) -> None:
        """The trial ended without a result."""
        trial = self._open.pop(number)
        self._note(trial, [verdict])
        self._study.tell(trial, state=TrialState.FAIL)

    @staticmethod
    def _note(trial: optuna.Trial, verdicts: Sequence[Verdict]) -> None:
        if verdicts:
            trial.set_user_attr(_VERDICTS, [verdict.content() for verdict in verdicts])

    def rows(self) -> list[TrialRow]:
        """Every ended trial, in the order asked; an attempt that a crash ended is not one."""
        latest = self._latest_attempts()
        return [_row(number, item) for number, item in sorted(latest.items()) if item.state in _ENDED]


def _distribution(item: Dimension, integer: bool) -> BaseDistribution:
    if item.choices is not None:
        return CategoricalDistribution(item.choices)
    assert item.low is not None and item.high is not None
    if integer:
        return IntDistribution(int(item.low), int(item.high), log=item.log)
    return FloatDistribution(float(item.low), float(item.high), log=item.log)


def _row(number: int, trial: FrozenTrial) -> TrialRow:
    names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    value = trial.value if trial.value is not None else math.nan
    if trial.state is TrialState.PRUNED and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return TrialRow(
        number, dict(trial.params), value, names[trial.state], Verdict.read_all(trial.user_attrs.get(_VERDICTS, ()))
    )
