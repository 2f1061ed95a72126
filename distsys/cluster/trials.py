"""The Ray Tune edge: many short runs in reused processes, each in its trial's own process."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from distsys.cluster.away import Away
from distsys.cluster.crew import Crew
from distsys.cluster.deaths import HANGS, PROCESS_DEATHS, Death
from distsys.cluster.session import carried_out, concurrent_trials, scratch, wants_gpu
from distsys.cluster.sharing import Shared
from distsys.cluster.stopping import ask_to_stop, forget_stop, stops_when_asked
from distsys.errors import DiskFull, Interrupted, RunFailed
from distsys.files import clear_partial
from distsys.health.verdict import Verdict
from distsys.storage.place import SHARED, Place
from distsys.tracking.spool import RunRecord
from distsys.training.interrupt import pending_signal, signals_noted
from distsys.training.stuck import stuck_ends
from distsys.training.trials import (
    KEPT,
    Assignment,
    Reading,
    TrialRun,
    TrialSource,
    note_failed,
    note_interrupted,
    note_pruned,
)

_SAVE_S = 1.5
"""After a signal, for trials to save and end by themselves."""


class _TrialProcess(tune.Trainable):
    """A process that trains one run after the other; a step of Tune is one validation of ours.

    Nothing is touched before the first step: Tune also sets up processes for trials that it then gives
    to another process.
    """

    def setup(
        self,
        config: dict[str, Any],
        shared: Shared | None = None,
        place: Place = SHARED,
        workers: int = 1,
        device: str = "cpu",
    ) -> None:
        self._waiting: dict[str, Any] | None = config
        self._shared, self._place = shared, place
        self._crew = Crew(workers, device=device, shared=shared, place=place)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._waiting = new_config
        return True

    def step(self) -> dict[str, Any]:
        if self._waiting is not None:
            content = json.loads(self._waiting["assignment"])
            self._waiting = None
            if self._shared is not None:
                self._shared.take_over()
                self._shared = None
            self._folder = Path(content["folder"])
            self._away = Away(self._place, self._folder)
            record, workers = RunRecord(**content["record"]), self._crew.begin(content)
            self._run = TrialRun(content["spec"], self._away.folder, record, workers)
        try:
            with stops_when_asked(self._folder), stuck_ends(self._away.end_stuck):
                reading = self._crew.step(self._run)
        except Interrupted:
            reading = Reading(0, ended=True)  # nobody looks at it: the driver is ending
        self._away.end() if reading.ended else self._away.try_push()
        # One string: Tune flattens what it is told, and copies every key.
        return {"done": reading.ended, "reading": json.dumps(asdict(reading))}


class _SourceSearcher(Searcher):
    """Ray Tune's Searcher over a :class:`TrialSource`, whose runs are kept in ``place``."""

    def __init__(self, source: TrialSource, place: Place) -> None:
        super().__init__()
        self.source, self.place = source, place
        self.deaths: dict[str, list[Death]] = {}
        self.keys: dict[str, int] = {}
        self.assignments: dict[int, Assignment] = {}
        self.no_space = ""
        """What a full disk kept from being written, here or in a trial: all trials end, and are told nothing of."""

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True

    @contextmanager
    def space_needed(self) -> Iterator[None]:
        """The study has the next thing written, unless there is no space."""
        try:
            yield
        except DiskFull as error:
            self.no_space = error.found

    @property
    def is_ending(self) -> bool:
        """Whether trials that end now do so because all are ended."""
        return pending_signal() is not None or bool(self.no_space)

    def suggest(self, trial_id: str) -> Any:
        assignment = None
        if pending_signal() is None:
            with self.space_needed():
                assignment = self.source.next()
        if assignment is None:
            return Searcher.FINISHED
        forget_stop(assignment.folder)
        self.keys[trial_id] = assignment.key
        self.assignments[assignment.key] = assignment
        content = {"spec": assignment.spec, "folder": str(assignment.folder), "record": vars(assignment.record)}
        # One string: Tune flattens, tags and copies every key of a config, which costs more than a short trial.
        return {"assignment": json.dumps(content)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        key = self.keys[trial_id]
        reading = _reading(result) if result and "reading" in result else None
        if reading is not None and reading.no_space:
            self.no_space = reading.no_space
        if self.is_ending:
            return
        failure = reading.failure if reading else None
        if error:
            failure = self.deaths[trial_id][-1].verdict(len(self.deaths[trial_id]))
            self.place.fetch(self.assignments[key].folder, checkpoints=False)
            note_failed(self.assignments[key], failure)
        with self.space_needed():
            self.source.complete(key) if failure is None else self.source.fail(key, failure)
        del self.assignments[key]

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts for a restore that is never asked for."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the source keeps its own state on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the source keeps its own state on disk."""


class _UntilEnding(tune.Stopper):
    """Ends all trials where there is no space left, and after a signal, once they had a moment to save and end.

    The study keeps them as running, and the next start takes them up.
    """

    def __init__(self, searcher: _SourceSearcher) -> None:
        self._searcher = searcher
        self._since: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if not self._searcher.is_ending or self._searcher.no_space:
            return self._searcher.is_ending
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since > _SAVE_S


class _SourceScheduler(FIFOScheduler):
    """Stops what the source wants stopped."""

    def __init__(self, searcher: _SourceSearcher, say: Callable[[str], None]) -> None:
        super().__init__()
        self._searcher, self._say = searcher, say

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Its process died; Tune tells of the trial's end afterwards, where it does not start it again."""
        if pending_signal() is not None:
            return
        assignment = self._searcher.assignments[self._searcher.keys[trial.trial_id]]
        self._searcher.place.look(assignment.folder)
        clear_partial(assignment.folder)
        death = Death(assignment.folder, str(trial.get_error()))
        self._searcher.deaths.setdefault(trial.trial_id, []).append(death)
        self._say(f"{assignment.record.name}: {death}")
        if death.stuck:
            trial.max_failures = min(trial.max_failures, HANGS)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        key = self._searcher.keys[trial.trial_id]
        reading = _reading(result)
        stop = True
        with self._searcher.space_needed():
            stop = self._searcher.source.report(key, reading)
            if stop:
                self._searcher.place.fetch(self._searcher.assignments[key].folder, checkpoints=False)
                note_pruned(self._searcher.assignments[key], reading)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


def _reading(result: Mapping[str, Any]) -> Reading:
    content = json.loads(result["reading"])
    verdicts, failure = Verdict.read_all(content["verdicts"]), content["failure"]
    return Reading(**{**content, "verdicts": verdicts, "failure": failure and Verdict(**failure)})


def run_trials(
    source: TrialSource,
    *,
    limit: int,
    wanted: int | None,
    cpus: int,
    device: str,
    gpus: float,
    say: Callable[[str], None],
    place: Place = SHARED,
    workers: int = 1,
) -> None:
    """Carry out up to ``limit`` runs of ``source``, as many at a time as fit.

    Args:
        wanted: trials at a time at most; None takes what fits.
        cpus: CPUs of one worker.
        device: ``auto`` and ``cuda`` give each worker ``gpus`` of one GPU where the cluster has some.
        say: is told of each death of a trial's process.
        place: where the runs are kept.
        workers: of one trial, on one node or on several.

    Raises:
        RunFailed: the cluster has no room for a single trial.
        Interrupted: a signal was noted.
        DiskFull: there is no space; running trials go on when there is.
    """
    needs = {"CPU": float(cpus), "GPU": gpus if wants_gpu(device) else 0.0}
    together = concurrent_trials(wanted, needs, workers=workers)
    if together < 1:
        raise _no_room(needs, workers)
    searcher = _SourceSearcher(source, place)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a death is told by us, in one line
    trainable = tune.with_parameters(_TrialProcess, shared=Shared(), place=place, workers=workers, device=device)
    room = needs if workers == 1 else tune.PlacementGroupFactory([needs] * workers)
    tuner = tune.Tuner(
        tune.with_resources(trainable, room),
        tune_config=tune.TuneConfig(
            num_samples=limit,
            search_alg=searcher,
            scheduler=_SourceScheduler(searcher, say),
            max_concurrent_trials=together,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="trials",
            stop=_UntilEnding(searcher),
            storage_path=str(scratch()),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=PROCESS_DEATHS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    _until_done(tuner, searcher)


def _no_room(needs: Mapping[str, float], workers: int) -> RunFailed:
    each = f"{needs['CPU']:g} x CPU{', {:g} x GPU'.format(needs['GPU']) if needs['GPU'] else ''}"
    return RunFailed(
        f"no room on the cluster for one trial ({each}{f', {workers} times' if workers > 1 else ''})",
        expected="free resources",
        fix="lower cpu_threads or search.workers_per_trial, set device: cpu, or wait for other jobs to end",
    )


def _until_done(tuner: tune.Tuner, searcher: _SourceSearcher) -> None:
    place = searcher.place

    def stop(number: int) -> None:
        for assignment in list(searcher.assignments.values()):
            ask_to_stop(assignment.folder, number)

    try:
        with signals_noted():
            carried_out(tuner.fit, stop=stop, kept=KEPT)
    except (Interrupted, RunFailed, KeyboardInterrupt) as error:
        for assignment in list(searcher.assignments.values()):
            place.look(assignment.folder)
            note_interrupted(assignment, getattr(error, "found", "interrupted"))
        raise
    if searcher.no_space:
        raise DiskFull.told(searcher.no_space)
