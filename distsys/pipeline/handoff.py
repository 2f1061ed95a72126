"""The handoff: the search's best, ranked again under the final phase's strong weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.stats import spearmanr

from distsys.config.validate import with_values
from distsys.console import Bar, Console
from distsys.domains.protocol import MetricSpec
from distsys.errors import StoppedByHealth
from distsys.files import read_or_set_aside
from distsys.health.verdict import Verdict, by_cause
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.means import Means
from distsys.pipeline.on_disk import settled
from distsys.pipeline.ranking import Candidate, Handoff
from distsys.pipeline.search import SearchResult
from distsys.report.verdicts import verdict_text
from distsys.tracking.spool import RunRecord
from distsys.training.outcome import Outcome
from distsys.training.selection import paired_floor
from distsys.training.spec import RunSpec
from distsys.training.trials import NO_VALIDATION, Assignment, Reading

if TYPE_CHECKING:
    from distsys.cluster.rows import TrialRow

FILE = "handoff.json"


def known_handoff(experiment: Experiment, console: Console) -> Handoff | None:
    """The handoff that was made before; a torn one is set aside, said, and made again."""
    path = experiment.folder / FILE
    then = "it is made again from the outcomes of its candidates"
    return read_or_set_aside(path, lambda: Handoff.read(path), say=console.say, then=then)


def run_handoff(experiment: Experiment, search: SearchResult, means: Means) -> Handoff:
    """Train each candidate for a slice of the final budget under the final weights, and choose.

    Raises:
        StoppedByHealth: no candidate was trained far enough to be validated.
    """
    chosen = _chosen(search, experiment.config.handoff.top_k)
    if done := known_handoff(experiment, means.console):
        if {item.trial for item in done.candidates} == {row.number for row, _ in chosen}:
            return done
        means.console.say("handoff: the search found others since; candidates are ranked anew")
    source = _CandidateSource(experiment, chosen, means)
    if source.waiting:
        _run(experiment, source, means)
    handoff = _rank(experiment, source)
    handoff.write(experiment.folder / FILE)
    _say(handoff, experiment.domain.selection, means.console)
    return handoff


def _run(experiment: Experiment, source: _CandidateSource, means: Means) -> None:
    count = len(source.waiting)
    poor = sum(role == "poor" for row, role in source.chosen if row.number in source.waiting)
    what = f"{count - poor} candidates" + (" and 1 poor one as control" if poor else "")
    means.console.say(f"handoff: {what}, {source.steps} steps each, strong weights")
    with means.console.bar("handoff", count) as bar, means.cluster():
        source.bar = bar
        means.run_trials(source, limit=count, config=experiment.config)


def _chosen(search: SearchResult, top_k: int) -> list[tuple[TrialRow, str]]:
    """The best ``top_k`` healthy trials and one poor one, which shows that the ranking still tells."""
    best = search.contenders(top_k)
    rest = [row for row in search.ranked() if row not in best]
    return [(row, "best") for row in best] + [(row, "poor") for row in rest[-1:]]


@dataclass
class _CandidateSource:
    """Hands out the candidates that have no outcome yet."""

    experiment: Experiment
    chosen: list[tuple[TrialRow, str]]
    means: Means
    bar: Bar | None = None
    failures: dict[int, Verdict] = field(default_factory=dict)
    _ended: int = 0

    def __post_init__(self) -> None:
        self.specs = {row.number: _spec(self.experiment, row.params) for row, _ in self.chosen}
        metric, console = self.experiment.domain.selection, self.means.console
        self.waiting = [number for number in self.specs if settled(self.folder(number), metric, console) is None]
        self._queue = list(self.waiting)

    @property
    def steps(self) -> int:
        return next(iter(self.specs.values())).steps

    def folder(self, number: int) -> Path:
        return self.experiment.folder / "handoff" / f"{number:04d}-{self.specs[number].identity[:8]}"

    def outcome(self, number: int) -> Outcome | None:
        return Outcome.read(self.folder(number), self.experiment.domain.selection)

    def next(self) -> Assignment | None:
        """The next candidate."""
        if not self._queue:
            return None
        number = self._queue.pop(0)
        params = next(row.params for row, _ in self.chosen if row.number == number)
        tags = {"distsys.trial": str(number), "distsys.phase": "final"}
        record = RunRecord("handoff", f"handoff-{number:04d}", str(self.experiment.folder), dict(params), tags)
        return Assignment(number, self.specs[number].content(), self.folder(number), record)

    def report(self, key: int, reading: Reading) -> bool:
        """Candidates are never pruned: the ranking needs them all."""
        self._watch(key)
        return False

    def complete(self, key: int) -> None:
        self.means.arrived(self.folder(key))
        self._show()

    def fail(self, key: int, verdict: Verdict) -> None:
        self.failures[key] = verdict
        self.means.arrived(self.folder(key))
        self._show()

    def _watch(self, key: int) -> None:
        self.means.watch(self.folder(key))

    def _show(self) -> None:
        self._ended += 1
        if self.bar is not None:
            self.bar.update(self._ended)


def _rank(experiment: Experiment, source: _CandidateSource) -> Handoff:
    metric = experiment.domain.selection
    candidates = [_candidate(row, role, source) for row, role in source.chosen]
    sign = -1.0 if metric.direction == "max" else 1.0
    chosen = [item for item in candidates if item.role == "best"]
    healthy = sorted((item for item in chosen if not item.is_sick), key=lambda item: sign * item.after)
    if not healthy:
        _require_validated(chosen)
        return Handoff(candidates, _spearman(candidates), math.nan, math.nan, None)
    winner = _winner(healthy, source)
    lead, floor = _lead(winner, [item for item in healthy if item is not winner], source, sign)
    return Handoff(candidates, _spearman(candidates), lead, floor, winner.trial)


def _require_validated(chosen: Sequence[Candidate]) -> None:
    """Raises StoppedByHealth where there is no checkpoint to name."""
    if any(math.isfinite(item.after) for item in chosen):
        return
    found = [verdict for item in chosen for verdict in item.verdicts]
    raise StoppedByHealth(
        f"no candidate ended healthy under the final weights\n{verdict_text(found)}",
        expected="one candidate without any of these",
        fix="what the verdicts name",
        verdicts=[verdict for verdict, _ in by_cause(found)],
    )


def nearest_candidate(experiment: Experiment, handoff: Handoff) -> Outcome:
    """Of candidates none of which ended healthy, the one that came nearest to its bands."""
    found = [
        outcome
        for item in handoff.candidates
        if item.role == "best" and (outcome := Outcome.read(_folder(experiment, item), experiment.domain.selection))
    ]
    return min(found, key=lambda outcome: outcome.distance)


def _spec(experiment: Experiment, params: Mapping[str, Any]) -> RunSpec:
    return RunSpec(with_values(experiment.config, params), "final", share=experiment.config.handoff.budget_share)


def _folder(experiment: Experiment, item: Candidate) -> Path:
    return experiment.folder / "handoff" / f"{item.trial:04d}-{_spec(experiment, item.params).identity[:8]}"


def _candidate(row: TrialRow, role: str, source: _CandidateSource) -> Candidate:
    outcome = source.outcome(row.number)
    choice = outcome.selection.last if outcome else None
    if choice is None:
        failure = source.failures.get(row.number, NO_VALIDATION)
        return Candidate(row.number, role, dict(row.params), row.value, math.nan, (failure,))
    return Candidate(row.number, role, dict(row.params), row.value, choice.value, tuple(choice.verdicts))


def _items(number: int, source: _CandidateSource) -> list[float]:
    outcome = source.outcome(number)
    return list(outcome.selection.last.items) if outcome and outcome.selection.last else []


def _winner(healthy: list[Candidate], source: _CandidateSource) -> Candidate:
    """The best; among those it does not clearly beat, the one that the search ranked first."""
    best = healthy[0]
    order = [row.number for row, _ in source.chosen]
    ties = [
        item
        for item in healthy
        if abs(item.after - best.after) <= paired_floor(_items(best.trial, source), _items(item.trial, source))
    ]
    return min(ties, key=lambda item: order.index(item.trial))


def _lead(winner: Candidate, others: Sequence[Candidate], source: _CandidateSource, sign: float) -> tuple[float, float]:
    """By how much ``winner`` is better than the first of ``others``, and the standard error of that."""
    if not others:
        return math.nan, math.nan
    runner_up = others[0]
    floor = paired_floor(_items(winner.trial, source), _items(runner_up.trial, source))
    return sign * (runner_up.after - winner.after), floor


def _spearman(candidates: list[Candidate]) -> float:
    pairs = [(item.before, item.after) for item in candidates if math.isfinite(item.after)]
    if len(pairs) < 3 or any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return math.nan
    return float(spearmanr([pair[0] for pair in pairs], [pair[1] for pair in pairs]).statistic)


def _say(handoff: Handoff, metric: MetricSpec, console: Console) -> None:
    chosen = handoff.chosen
    if chosen is None:
        fix = "bring final.weights nearer to search.weights, or raise handoff.budget_share"
        found = verdict_text(verdict for item in handoff.candidates for verdict in item.verdicts)
        console.say(f"handoff: no candidate ended healthy; do what is named here, else {fix}\n{found}")
        return
    moved = f"{metric.name} {chosen.before:.4g} -> {chosen.after:.4g} {metric.unit}"
    console.say(f"handoff: trial {chosen.trial} goes on, {moved}")
    console.say(f"handoff: {handoff.lead_text(metric.unit)}; {handoff.agreement}")
    if doubt := handoff.doubt(metric):
        console.say(f"handoff: {doubt}")
    if sick := [verdict for item in handoff.candidates for verdict in item.verdicts]:
        console.say(f"handoff: refused or warned of\n{verdict_text(sick)}")
