"""The Optuna study on disk: the single truth of a search, asked for parameters and told results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from distsys.cluster.journal import open_journal
from distsys.cluster.rows import ENDED, NUMBER, VERDICTS, TrialOnDisk, TrialRow, row_of, storable
from distsys.cluster.rungs import RungPruner
from distsys.config.space import Dimension, SearchSpace
from distsys.domains.protocol import MetricSpec
from distsys.errors import DamagedFile
from distsys.health.verdict import Verdict


class Study:
    """A search's trials on disk; opening it again goes on where it was.

    Every attempt at a trial carries the trial's number from its first write on; the last attempt counts.

    Args:
        path: the journal file.
        space: what is searched.
        spec: the selection metric.
        seed: of the sampler.
        num_trials: trials asked for in all.
        startup_trials: of them, drawn at random first.
        pruner: decides at each report whether a trial goes on; None lets all.
        on_disk: what the trials' own folders tell: those that ended there are not run again.
        earlier: trials of another study, from which the sampler learns and which are none of this one.
        begins_with: parameters of the first trials, after the priors.

    Raises:
        DamagedFile: the journal cannot be read, or does not say what the folders say.
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
        on_disk: Sequence[TrialOnDisk] = (),
        earlier: Sequence[TrialOnDisk] = (),
        begins_with: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._distributions = distributions_of(space)
        self._num_trials, self._pruner = num_trials, pruner
        self._storage = open_journal(path)
        direction = StudyDirection.MAXIMIZE if spec.direction == "max" else StudyDirection.MINIMIZE
        self._study = optuna.create_study(
            storage=self._storage,
            study_name="search",
            direction=direction,
            load_if_exists=True,
            pruner=optuna.pruners.NopPruner(),
        )
        known = len(self._study.get_trials(deepcopy=False))
        # A sampler restarted with its old seed would draw its old parameters again.
        self._study.sampler = optuna.samplers.TPESampler(seed=seed + 7919 * known, n_startup_trials=startup_trials)
        self._open: dict[int, optuna.Trial] = {}
        self._rows: dict[int, TrialRow] = {}
        self._latest: dict[int, FrozenTrial] = {}
        self._numbers: set[int] = set()
        self._free, self._num_waiting = 0, 0
        self._load()
        self._require_agreement(path, on_disk)
        if all(trial.state is TrialState.WAITING for trial in self._latest.values()):
            self._begin(earlier, [space.priors(), *begins_with])
        for item in on_disk:
            self.take_over(item)
        self._recover()

    def _begin(self, earlier: Sequence[TrialOnDisk], params: Sequence[Mapping[str, Any]]) -> None:
        """Know what is known, and queue the first trials; what a crash kept from being done is done now."""
        known = len(self._study.get_trials(deepcopy=False)) - len(self._latest)
        for item in earlier[known:]:
            self._study.add_trial(item.frozen(self._distributions, is_own=False))
        queue = [item for item in params if item][: self._num_trials]
        for number in set(range(len(queue))) - self._numbers:
            self._queue_anew(number, queue[number])

    def _load(self) -> None:
        """What has ended, and the latest attempt at each trial."""
        for trial in self._study.get_trials(deepcopy=False):
            if (number := trial.user_attrs.get(NUMBER)) is None:
                continue
            self._latest[number] = trial
            self._numbers.add(number)
            for step, value in trial.intermediate_values.items():
                self._note(number, step, value)
        self._rows = {number: row_of(number, item) for number, item in self._latest.items() if item.state in ENDED}

    def _require_agreement(self, path: Path, on_disk: Sequence[TrialOnDisk]) -> None:
        """A trial that ended in its folder ended here too, the same way, or was running when a crash came."""
        ended = [item for item in on_disk if item.has_ended]
        lost = [item.number for item in ended if item.number not in self._latest]
        others = [item.number for item in ended if item.number not in lost and not self._may_be(item)]
        found = [f"lacks trials {lost}"] if lost else []
        found += [f"says something else of trials {others}"] if others else []
        if found:
            raise DamagedFile(f"{path}: {' and '.join(found)}, which ended in their folders")

    def _may_be(self, item: TrialOnDisk) -> bool:
        if item.number in self._rows:
            return item.is_row(self._rows[item.number])
        return all(item.params.get(name) == value for name, value in _params_of(self._latest[item.number]).items())

    def take_over(self, item: TrialOnDisk) -> None:
        """Have a trial here as its folder tells it: ended, or waiting to go on."""
        if item.number in self._rows:
            return
        if item.has_ended:
            self._study.add_trial(item.frozen(self._distributions))
            self._latest[item.number] = self._study.get_trials(deepcopy=False)[-1]
            self._numbers.add(item.number)
            self._rows[item.number] = row_of(item.number, self._latest[item.number])
        elif item.number not in self._latest or _params_of(self._latest[item.number]) != item.params:
            self._queue_anew(item.number, item.params)

    def _recover(self) -> None:
        """Queue the parameters of trials that a crash left running, and mark every attempt but the last as failed.

        In this order: a crash between the two leaves a trial that is recovered again, never one lost or queued twice.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            number = trial.user_attrs.get(NUMBER, -1)
            if number in self._latest and self._latest[number].number == trial.number:
                if trial.state is TrialState.WAITING:
                    continue
                self._enqueue(number, _params_of(trial))
            self._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        self._num_waiting = len(waiting)

    def _queue_anew(self, number: int, params: Mapping[str, Any]) -> None:
        """In the queue, in place of what was known of the trial."""
        self._enqueue(number, params)
        self._latest[number] = self._study.get_trials(deepcopy=False)[-1]

    def _enqueue(self, number: int, params: Mapping[str, Any]) -> None:
        self._study.enqueue_trial(dict(params), user_attrs={NUMBER: number})
        self._numbers.add(number)

    @property
    def remaining(self) -> int:
        """Trials still to be asked for."""
        return self._num_trials - len(self._rows) - len(self._open)

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Number and parameters of the next trial; one that a crash interrupted keeps its number."""
        with self._storage.gathered():
            if self._num_waiting == 0:
                while self._free in self._numbers:
                    self._free += 1
                self._enqueue(self._free, {})
                self._num_waiting = 1
            trial = self._study.ask(self._distributions)
        self._num_waiting -= 1
        number = int(trial.user_attrs[NUMBER])
        self._open[number] = trial
        return number, dict(trial.params)

    def report(self, number: int, *, step: int, value: float, noise_floor: float) -> bool:
        """Note an intermediate value; True when the trial should stop."""
        if not math.isfinite(value):
            return False
        self._open[number].report(value, step)
        self._note(number, step, value)
        return self._pruner is not None and self._pruner.stops(number, step=step, noise_floor=noise_floor)

    def _note(self, number: int, step: int, value: float) -> None:
        if self._pruner is not None:
            self._pruner.note(number, step=step, value=value)

    def complete(
        self, number: int, *, value: float, violations: Mapping[str, float], verdicts: Sequence[Verdict]
    ) -> None:
        """The trial ran to its end; constraints teach the sampler where health lies."""
        with self._storage.gathered():
            for name, violation in violations.items():
                self._open[number].set_constraint(name, storable(violation))
            if math.isfinite(value):
                self._tell(number, verdicts, value=value)
            else:
                self._tell(number, verdicts, state=TrialState.FAIL)

    def prune(self, number: int, *, verdicts: Sequence[Verdict]) -> None:
        """The trial was stopped early because others were clearly better."""
        self._tell(number, verdicts, state=TrialState.PRUNED)

    def fail(self, number: int, verdict: Verdict) -> None:
        """The trial ended without a result."""
        self._tell(number, [verdict], state=TrialState.FAIL)

    def _tell(
        self, number: int, verdicts: Sequence[Verdict], *, value: float | None = None, state: TrialState | None = None
    ) -> None:
        trial = self._open[number]
        with self._storage.gathered():
            if verdicts:
                trial.set_user_attr(VERDICTS, [verdict.content() for verdict in verdicts])
            told = self._study.tell(trial, value, state=state)
        self._rows[number] = row_of(number, told)
        del self._open[number]

    def rows(self) -> list[TrialRow]:
        """Every ended trial, in the order asked; an attempt that a crash ended is not one."""
        return [self._rows[number] for number in sorted(self._rows)]


def _params_of(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters of an attempt, also those that it was killed before it could take them."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """What Optuna calls the dimensions of ``space``."""
    return {name: _distribution(item, name in space.integers) for name, item in space.dimensions.items()}


def _distribution(item: Dimension, integer: bool) -> BaseDistribution:
    if item.choices is not None:
        return CategoricalDistribution(item.choices)
    assert item.low is not None and item.high is not None
    if integer:
        return IntDistribution(int(item.low), int(item.high), log=item.log)
    return FloatDistribution(float(item.low), float(item.high), log=item.log)
