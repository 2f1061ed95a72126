"""The final phase: one configuration trained to the end under the strong weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from distsys.console import Bar, Console
from distsys.domains.protocol import AnyDomain, MetricSpec, effective_constraints
from distsys.health.verdict import Constraint, Verdict
from distsys.pipeline.experiment import noted_end
from distsys.pipeline.means import Means
from distsys.pipeline.on_disk import is_unsettled
from distsys.report.verdicts import verdict_text
from distsys.tracking.spool import RunRecord, Spool, read_metrics
from distsys.training.context import FitContext
from distsys.training.evaluate import Validation
from distsys.training.loop import fit
from distsys.training.outcome import Outcome
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

_TAIL_S = 0.5


def train(
    spec: RunSpec,
    domain: AnyDomain,
    *,
    folder: Path,
    record: RunRecord,
    through_ray: bool,
    means: Means,
) -> Outcome:
    """Train ``spec`` to the end of its budget, or take the outcome that stands in ``folder``.

    Args:
        through_ray: go through Ray Train even with one worker.

    Whether anything in it may be chosen is for the caller to ask: an outcome without a best one is sick.

    Raises:
        StoppedByHealth: going on became pointless.
        Interrupted: a signal came; the state is saved.
    """
    outcome = Outcome.read_or_rebuild(folder, domain.selection, say=means.console.say)
    is_other = outcome is not None and outcome.spec != spec.content()
    if outcome is not None and is_other:  # the same numbers, and something else is accepted
        outcome = replace(outcome, spec=spec.content())
        outcome.write()
    if outcome is not None and (is_other or is_unsettled(folder)):
        with noted_end(Spool.open(folder, record)) as ending:
            ending.verdicts = all_verdicts(outcome)
    if outcome is None:
        spool = Spool.open(folder, record)
        means.watch(folder)
        with means.console.bar(record.kind, spec.steps) as bar, noted_end(spool) as ending:
            if through_ray:
                _on_workers(spec, folder, record, bar, domain.selection, means)
            else:
                _in_process(spec, domain, folder, spool, bar)
            outcome = Outcome.read(folder, domain.selection)
            assert outcome is not None, "a run that ended left its outcome"
            ending.verdicts = all_verdicts(outcome)
    _say(outcome, domain.selection, record.kind, means.console)
    return outcome


def all_verdicts(outcome: Outcome) -> tuple[Verdict, ...]:
    """What ended the run, and what is wrong with what it chose."""
    return tuple(dict.fromkeys((*outcome.ended_by, *outcome.verdicts)))


def _in_process(spec: RunSpec, domain: AnyDomain, folder: Path, spool: Spool, bar: Bar) -> None:
    def show(validation: Validation) -> None:
        bar.update(validation.step, _note(validation.metrics[domain.selection.name], domain.selection))

    workers = Workers(pick_device(spec.config.device))
    fit(FitContext(spec, domain, folder, workers, spool, show))


def _on_workers(spec: RunSpec, folder: Path, record: RunRecord, bar: Bar, metric: MetricSpec, means: Means) -> None:
    from distsys.cluster.session import ray_session
    from distsys.cluster.train import fit_on_workers

    place, device = means.place, spec.config.device
    place.push(folder)
    with ray_session(), _following(folder, bar, metric, means):
        fit_on_workers(spec, folder=folder, record=record, team=means.team, device=device, place=place)
    place.fetch(folder)


@contextmanager
def _following(folder: Path, bar: Bar, metric: MetricSpec, means: Means) -> Iterator[None]:
    """The bar moves with the metrics that the workers write."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_TAIL_S):
            means.watch(folder)
            if lines := read_metrics(folder):
                bar.update(lines[-1].step, _note(lines[-1].metrics[metric.name], metric))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _note(value: float, metric: MetricSpec) -> str:
    return f"{metric.name} {value:.4g} {metric.unit}"


def _say(outcome: Outcome, metric: MetricSpec, label: str, console: Console) -> None:
    for note in outcome.notes:
        console.say(f"{label}: {note}")
    if outcome.ended_by:
        console.say(verdict_text(outcome.ended_by))
    best, by_loss = outcome.best, outcome.selection.by_loss
    assert by_loss is not None, "a run that ended was validated"
    if best is None:
        console.say(f"{label}: no checkpoint is healthy\n{verdict_text(outcome.verdicts)}")
        return
    console.say(f"{label}: best checkpoint at step {best.step}, validation {_note(best.value, metric)}")
    if by_loss.step != best.step:
        console.say(f"{label}: the loss alone would have chosen step {by_loss.step}, {_note(by_loss.value, metric)}")


def constraints_of(outcome: Outcome, domain: AnyDomain) -> tuple[Constraint, ...]:
    """The bands that the run was judged by."""
    return effective_constraints(domain, RunSpec.from_content(outcome.spec, domain).bands())


def say_nearest(outcome: Outcome, domain: AnyDomain, label: str, console: Console) -> None:
    """Which checkpoint comes nearest to its bands where none is healthy, and how far it is from each."""
    nearest = outcome.selection.nearest
    assert nearest is not None, "a run that ended was validated"
    console.say(f"{label}: nothing is healthy; nearest to its bands is {outcome.nearest_checkpoint}")
    for item in constraints_of(outcome, domain):
        console.say(f"- {item.beside(nearest.metrics[item.metric])}")
