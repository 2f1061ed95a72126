"""The search phase: many short trials under conservative weights, chosen by the selection metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from distsys.config.validate import with_values
from distsys.console import Bar, Console
from distsys.domains.protocol import MetricSpec
from distsys.errors import ConfigError, DamagedFile, StoppedByHealth
from distsys.health.judging import is_near
from distsys.health.verdict import FAILED, Verdict, by_cause
from distsys.pipeline.earlier import best_of, read_earlier
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.means import Means
from distsys.pipeline.on_disk import STUDY, result_of, trials_folder, trials_on_disk
from distsys.pipeline.unmoved import unmoved_text
from distsys.report.verdicts import health_word, verdict_text
from distsys.tracking.spool import RunRecord, Spool, read_status
from distsys.training.outcome import Outcome
from distsys.training.spec import RunSpec
from distsys.training.trials import NO_VALIDATION, Assignment, Reading

if TYPE_CHECKING:
    from distsys.cluster.rows import TrialRow
    from distsys.cluster.study import Study


@dataclass(frozen=True)
class SearchResult:
    """Every trial of the search, ranked.

    Args:
        rows: all ended trials, in the order asked.
    """

    rows: list[TrialRow]
    metric: MetricSpec

    def ranked(self) -> list[TrialRow]:
        """Completed trials, healthy ones first, each group from best to worst."""
        return sorted((row for row in self.rows if row.state == "complete"), key=self._place)

    @property
    def best(self) -> TrialRow | None:
        """The best healthy trial."""
        return min(
            (row for row in self.rows if row.state == "complete" and not row.is_sick), key=self._place, default=None
        )

    def _place(self, row: TrialRow) -> tuple[bool, float]:
        return row.is_sick, -row.value if self.metric.direction == "max" else row.value

    def contenders(self, count: int) -> list[TrialRow]:
        """The best ``count`` healthy trials; where none is, those that only their metrics speak against.

        Of these the ones with the fewest metrics outside come first.
        """
        ranked = self.ranked()
        healthy = [row for row in ranked if not row.is_sick]
        near = [row for row in ranked if row.is_sick and is_near(row.verdicts)]
        return (healthy or sorted(near, key=lambda row: len(row.verdicts)))[:count]

    def to_pandas(self) -> Any:
        """A row a trial: its state, value, health, and a column a searched parameter. Needs pandas."""
        import pandas as pd

        rows = [
            {"state": row.state, self.metric.name: row.value, "health": health_word(row.verdicts), **row.params}
            for row in self.rows
        ]
        return pd.DataFrame(rows, index=pd.Index([row.number for row in self.rows], name="trial"))

    @property
    def verdicts(self) -> list[Verdict]:
        """Those of all trials."""
        return [verdict for row in self.rows for verdict in row.verdicts]


def open_study(experiment: Experiment, console: Console) -> Study:
    """The experiment's study on disk, made when it is not there, in agreement with its trials' folders.

    The experiment's lock must be held.
    """
    from distsys.cluster import rebuild
    from distsys.cluster.rungs import RungPruner

    search, earlier = experiment.config.search, read_earlier(experiment)
    best = best_of(earlier, direction=experiment.domain.selection.direction)
    pruner = search.reduction_factor and RungPruner(
        first_step=search.eval_every_steps, reduction_factor=search.reduction_factor, spec=experiment.domain.selection
    )
    return rebuild.open_study(
        experiment.folder / STUDY,
        on_disk=trials_on_disk(experiment, console),
        earlier=earlier,
        begins_with=[*([best.params] if best else [])],
        say=console.say,
        space=experiment.space,
        spec=experiment.domain.selection,
        seed=experiment.config.seed,
        num_trials=search.trials,
        startup_trials=search.startup_trials,
        pruner=pruner or None,
    )


def read_search(experiment: Experiment, console: Console) -> SearchResult:
    """What the study on disk holds."""
    return SearchResult(open_study(experiment, console).rows(), experiment.domain.selection)


def run_search(experiment: Experiment, means: Means) -> SearchResult:
    """Run the trials that are still missing and return all of them.

    Raises:
        StoppedByHealth: every trial is sick by more than its metrics.
    """
    study = open_study(experiment, means.console)
    known = len(study.rows())
    if study.remaining > 0:
        _run_missing(experiment, study, known, means)
    result = SearchResult(study.rows(), experiment.domain.selection)
    _say(result, known, means.console)
    if not result.contenders(1):
        raise none_healthy(result)
    if result.best is None:
        means.console.say("search: no trial ended healthy; those nearest to it are tried under the final weights")
        if unmoved := unmoved_text(result.rows):
            means.console.say(f"search: {unmoved}")
    return result


def none_healthy(result: SearchResult) -> StoppedByHealth:
    """What to raise where nothing may be crowned."""
    return StoppedByHealth(
        f"none of {len(result.rows)} trials ended healthy\n{verdict_text(result.verdicts)}",
        expected="one trial without any of these",
        fix=unmoved_text(result.rows)
        or "what the most frequent verdict names; else widen the search space or raise search.steps",
        verdicts=[verdict for verdict, _ in by_cause(result.verdicts)],
    )


def _run_missing(experiment: Experiment, study: Study, known: int, means: Means) -> None:
    config, console = experiment.config, means.console
    missing = f"{study.remaining} of {config.search.trials} trials"
    console.say(f"search: {missing}, {config.search.steps} steps each, conservative weights")
    with console.bar("search", config.search.trials) as bar, means.cluster():
        bar.update(known)
        means.run_trials(StudySource(experiment, study, bar, means), limit=study.remaining, config=config)


@dataclass
class StudySource:
    """Feeds the study's questions to the trial processes, and their answers back."""

    experiment: Experiment
    study: Study
    bar: Bar
    means: Means
    _assigned: dict[int, Assignment] = field(default_factory=dict)
    _pruned: set[int] = field(default_factory=set)

    def next(self) -> Assignment | None:
        """The next trial, or None when all were asked for."""
        while self.study.remaining > 0:
            number, params = self.study.ask()
            try:
                spec = RunSpec(with_values(self.experiment.config, params), "search")
            except (ValidationError, ConfigError) as error:
                self._refuse(number, params, error)
                continue
            folder = trials_folder(self.experiment) / f"{number:04d}-{spec.identity[:8]}"
            record = trial_record(self.experiment, number, params)
            self._assigned[number] = Assignment(number, spec.content(), folder, record)
            return self._assigned[number]
        return None

    def _refuse(self, number: int, params: Mapping[str, Any], error: Exception) -> None:
        """Parameters that do not fit the config: a trial without a run."""
        fix = "narrow the search space so that every combination fits the config"
        verdict = Verdict("stop", f"{FAILED}: parameters refused", str(error), 0, fix)
        folder = trials_folder(self.experiment) / f"{number:04d}-refused"
        Spool.open(folder, trial_record(self.experiment, number, params)).finish(
            "failed", str(verdict), verdicts=[verdict]
        )
        self.means.watch(folder)
        self.study.fail(number, verdict)

    def report(self, key: int, reading: Reading) -> bool:
        """A validation; True when the trial is clearly behind."""
        self._watch(key)
        stop = self.study.report(key, step=reading.step, value=reading.value, noise_floor=reading.noise_floor)
        if stop:
            self._pruned.add(key)
            self.study.prune(key, verdicts=reading.verdicts)
        return stop

    def complete(self, key: int) -> None:
        """The trial ended by itself, or was pruned before."""
        self.means.arrived(self._assigned[key].folder)
        if key not in self._pruned:
            self._tell(key)
        self._show()

    def fail(self, key: int, verdict: Verdict) -> None:
        """The trial ended without a result."""
        self.means.arrived(self._assigned[key].folder)
        self._fail(key, verdict)
        self._show()

    def _fail(self, key: int, verdict: Verdict) -> None:
        """In the trial's folder first: a process that died could not say it there itself."""
        assigned = self._assigned[key]
        if not _is_failed(assigned.folder):
            Spool.open(assigned.folder, assigned.record).finish("failed", str(verdict), verdicts=[verdict])
        self.study.fail(key, verdict)

    def _tell(self, key: int) -> None:
        outcome = Outcome.read(self._assigned[key].folder, self.experiment.domain.selection)
        result = result_of(self.experiment, outcome) if outcome else None
        if result is None:
            self._fail(key, NO_VALIDATION)
        else:
            self.study.complete(key, **result)

    def _watch(self, key: int) -> None:
        self.means.watch(self._assigned[key].folder)

    def _show(self) -> None:
        result = SearchResult(self.study.rows(), self.experiment.domain.selection)
        best = result.best
        note = f"best {best.value:.4g} {result.metric.unit} (trial {best.number})" if best else "none healthy yet"
        self.bar.update(len(result.rows), note)


def trial_record(experiment: Experiment, number: int, params: Mapping[str, Any]) -> RunRecord:
    """What trackers know of a trial: what was searched, and its place."""
    tags = {"distsys.trial": str(number), "distsys.phase": "search"}
    return RunRecord("trial", f"trial-{number:04d}", str(experiment.folder), dict(params), tags)


def _is_failed(folder: Path) -> bool:
    try:
        return read_status(folder).status == "failed"
    except DamagedFile:
        return False


def _say(result: SearchResult, known: int, console: Console) -> None:
    states = [row.state for row in result.rows]
    counts = ", ".join(f"{states.count(name)} {name}" for name in ("complete", "pruned", "failed") if name in states)
    num_sick = sum(row.is_sick for row in result.ranked())
    best = result.best
    value = f"; best {result.metric.name} {best.value:.4g} {result.metric.unit} (trial {best.number})" if best else ""
    before = f", {known} from before" if known else ""
    console.say(f"search: {counts}{before}{f', {num_sick} refused as sick' if num_sick else ''}{value}")
