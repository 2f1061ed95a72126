"""``distsys plan``: what an experiment will take, found out before it is begun; nothing of it stays on disk."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distsys.config.memory import num_bytes
from distsys.config.schema import CoreConfig
from distsys.config.validate import with_values
from distsys.domains.protocol import EvalSet
from distsys.pipeline.capacity import Capacity, capacity_for
from distsys.pipeline.experiment import Experiment, preflight
from distsys.tracking.location import redacted, store_uri
from distsys.training.data import built_data
from distsys.training.loop import SEARCH_CHECKPOINT_S
from distsys.training.selection import MOST_NAMED
from distsys.training.spec import RunSpec
from distsys.training.team import Team
from distsys.training.timing import Pace, Span, measured
from distsys.training.workers import pick_device

_REPORT_S = 5.0
"""Drawing and writing a report, in each of three domains."""
_RAY_S, _TUNE_S, _TRAIN_S = 14.0, 4.5, 20.0
"""What it took on two cores to start a private cluster, the processes of trials, and Ray Train with its workers."""
_MOST_KEPT = MOST_NAMED + 2
"""Checkpoints of one run that are on disk at a time: those named, the latest, and the one before it."""


@dataclass(frozen=True)
class Phase:
    """One part of the experiment: so many runs of so many steps, and how long they take together, in seconds."""

    name: str
    runs: int
    steps: int
    seconds: Span


@dataclass(frozen=True)
class Plan:
    """What will be spent, and where.

    Args:
        phases: in the order in which they happen, with what is not training (``preparation``, ``evaluation``).
        paces: of the phases that train, by name.
        checkpoint_bytes: of the largest checkpoint.
        disk_bytes: of all checkpoints, at most.
        free_bytes: where they will be written.
        data_bytes: of the data in memory.
        timed_on: the device that steps were timed on.
        is_known: whether the experiment's folder is there, so that less than all is left to do.
    """

    name: str
    capacity: Capacity
    phases: Sequence[Phase]
    paces: dict[str, Pace]
    num_workers: int
    checkpoint_bytes: int
    num_checkpoints: int
    disk_bytes: int
    free_bytes: int
    data_bytes: int
    folder: Path
    tracking: str
    timed_on: str
    is_known: bool

    @property
    def whole(self) -> Span:
        total = Span.exactly(0.0)
        for phase in self.phases:
            total = total + phase.seconds
        return total


def planned(experiment: Experiment, *, team: Team, is_local: bool) -> Plan:
    """Try the experiment, time its first steps, and add up.

    Raises:
        ConfigError: config or search space are wrong, or not one trial or not all workers fit.
        DataError: a data file is missing, damaged or mislabelled.
        StoppedByHealth: its first steps show that going on is pointless.
    """
    config = experiment.config
    team.require_equal_shares(config.batch_size, parts=config.accumulate)
    capacity = capacity_for(config, team=team, is_local=is_local)
    num_workers = capacity.num_workers
    began = time.perf_counter()
    preflight(experiment)
    prepared_s = time.perf_counter() - began
    # The command may stand on a machine without the GPU that the cluster's nodes have.
    device = pick_device("auto" if capacity.is_cluster else config.device).type
    timed = _timed(experiment, num_workers=num_workers, device=device)
    phases = _phases(experiment, timed, capacity, 0.0 if is_local else _TUNE_S)
    ready = Span.exactly(prepared_s + (0.0 if is_local or capacity.is_cluster else _RAY_S))
    ended = Span.exactly(_evaluation_s(experiment, timed.alone))
    count, size = _checkpoints(phases, timed)
    return Plan(
        name=experiment.name,
        capacity=capacity,
        phases=[Phase("preparation", 0, 0, ready), *phases, Phase("evaluation", 0, 0, ended)],
        paces={"search": timed.trials[0], "final": timed.shared},
        num_workers=num_workers,
        checkpoint_bytes=max(pace.checkpoint_bytes for pace in (*timed.trials, timed.alone)),
        num_checkpoints=count,
        disk_bytes=size,
        free_bytes=shutil.disk_usage(_standing(experiment.root)).free,
        data_bytes=num_bytes(built_data(experiment.domain, config)),
        folder=experiment.folder,
        tracking="" if is_local else redacted(store_uri(experiment.root)),
        timed_on=device,
        is_known=experiment.folder.exists(),
    )


@dataclass(frozen=True)
class _Timed:
    """What was measured.

    Args:
        trials: with all priors and, where sizes are searched, the smallest and the largest.
        alone: the final training on one worker.
        shared: the same where workers share each batch.
    """

    trials: Sequence[Pace]
    alone: Pace
    shared: Pace


def _timed(experiment: Experiment, *, num_workers: int, device: str) -> _Timed:
    config = with_values(experiment.config, experiment.space.priors())
    sizes = _searched_sizes(experiment)
    ends = [{path: values[place] for path, values in sizes.items()} for place in (0, -1)] if sizes else []
    alone = with_values(config, {"search.workers_per_trial": 1})
    part = {"batch_size": config.batch_size // config.search.workers_per_trial}
    specs = [RunSpec(with_values(alone, {**part, **values}), "search") for values in ({}, *ends)]
    specs.append(RunSpec(config, "final"))
    if num_workers > 1:
        specs.append(RunSpec(with_values(alone, {"batch_size": config.batch_size // num_workers}), "final"))
    with tempfile.TemporaryDirectory(prefix="distsys-plan-") as scratch:
        found = [
            measured(spec, experiment.domain, folder=Path(scratch, str(number)), device=device)
            for number, spec in enumerate(specs)
        ]
    finals = [pace for pace in found if pace.spec.phase == "final"]
    return _Timed(found[: -len(finals)], finals[0], finals[-1])


def _searched_sizes(experiment: Experiment) -> dict[str, list[Any]]:
    """Searched keys that decide how much a step computes, each with its ends."""
    space = experiment.space
    return {
        path: item.corners()
        for path, item in space.dimensions.items()
        if path == "batch_size" or (path.startswith("model.") and (path in space.integers or item.choices))
    }


def _phases(experiment: Experiment, timed: _Timed, capacity: Capacity, started_s: float) -> list[Phase]:
    """Those that train; ``started_s`` is what starting the processes of trials takes."""
    config = experiment.config
    search, handoff = config.search, config.handoff
    candidates = min(handoff.top_k + 1, search.trials)
    sliced = replace(timed.alone.spec, share=handoff.budget_share)
    share = _share_of_steps(config)
    one = _trial_seconds(timed.trials)
    # Nobody knows which trials are pruned: at worst none is.
    searched = Span(one.low * share, one.mid * share, one.high) * capacity.rounds(search.trials)
    ranked = timed.alone.seconds(sliced, is_saved=False) * capacity.rounds(candidates)
    start = Span.exactly(started_s)
    return [
        Phase("search", search.trials, search.steps, start + searched),
        Phase("handoff", candidates, sliced.steps, start + ranked),
        Phase("final", 1, config.final.steps, _final_seconds(timed, capacity.num_workers)),
    ]


def _final_seconds(timed: _Timed, num_workers: int) -> Span:
    """Workers share each batch; at worst their traffic costs what sharing saves."""
    seconds, whole = (pace.seconds(pace.spec, is_saved=True) for pace in (timed.shared, timed.alone))
    if num_workers == 1:
        return seconds
    return Span(seconds.low, seconds.mid, max(seconds.high, whole.high)) + Span.exactly(_TRAIN_S)


def _trial_seconds(trials: Sequence[Pace]) -> Span:
    """A trial's time over what is searched."""
    spans = [pace.seconds(pace.spec, is_saved=False) for pace in trials]
    mid = sum(item.mid for item in spans) / len(spans)
    return Span(min(item.low for item in spans), mid, max(item.high for item in spans))


def rungs(config: CoreConfig) -> list[int]:
    """Steps before the last at which a trial may be pruned."""
    search, found = config.search, []
    step = search.eval_every_steps
    while search.reduction_factor and step < search.steps:
        found.append(step)
        step *= search.reduction_factor
    return found


def _share_of_steps(config: CoreConfig) -> float:
    """Of all steps of all trials, those that are taken where results come in an order that means nothing."""
    search, factor = config.search, config.search.reduction_factor
    alive, before, taken = float(search.trials), 0, 0.0
    for step in rungs(config):
        assert factor is not None, "without one there are no rungs"
        taken += alive * (step - before)
        judged = range(1, round(alive) + 1)
        alive, before = sum(1.0 if i < factor else max(1, i // factor) / i for i in judged), step
    return (taken + alive * (search.steps - before)) / (search.trials * search.steps)


def _evaluation_s(experiment: Experiment, final: Pace) -> float:
    """The test set with all baselines, by what the validation set takes, and the report."""
    domain, config = experiment.domain, experiment.config
    bundle = built_data(domain, config)
    began = time.perf_counter()
    domain.baselines(config, bundle, bundle.validation)
    baselines_s = time.perf_counter() - began
    ratio = _num_items(bundle.test) / _num_items(bundle.validation)
    # Rows are made twice: to be shown, and to judge the model beside the trivial ones.
    return ratio * (final.validation_s + 2 * baselines_s) + _REPORT_S


def _num_items(frozen: EvalSet) -> int:
    return sum(len(next(iter(batch.values()))) for batch in frozen.batches)


def _checkpoints(phases: Sequence[Phase], timed: _Timed) -> tuple[int, int]:
    """How many are on disk at most, and their bytes: short runs are saved only where they last."""
    final, largest = timed.alone, max(timed.trials, key=lambda pace: pace.checkpoint_bytes)
    count, size = 0, 0
    for phase, pace in zip(phases, (largest, final, final), strict=True):
        spec = replace(pace.spec, share=1.0 if pace.spec.phase == "search" else phase.steps / final.spec.steps)
        if phase.name == "final":
            written = math.ceil(spec.steps / spec.eval_every_steps)
        else:
            written = math.floor(pace.seconds(spec, is_saved=False).high / SEARCH_CHECKPOINT_S)
        kept = phase.runs * min(_MOST_KEPT, written)
        count, size = count + kept, size + kept * pace.checkpoint_bytes
    return count, size


def _standing(path: Path) -> Path:
    """The nearest folder above ``path`` that is there."""
    return next(place for place in (path, *path.parents) if place.is_dir())
