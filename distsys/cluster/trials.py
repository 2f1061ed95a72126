"""The Ray Tune edge: many short runs in reused processes, each in its trial's own process."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from distsys.cluster.session import concurrent_trials, wants_gpu
from distsys.cluster.sharing import Shared
from distsys.errors import RunFailed
from distsys.health.verdict import FAILED, Verdict
from distsys.tracking.spool import RunRecord
from distsys.training.interrupt import pending_signal, raise_if_interrupted, signals_noted
from distsys.training.trials import KEPT, Assignment, Reading, TrialRun, TrialSource, note_pruned

_PROCESS_DEATHS = 2
"""Times that a trial's process may die before the trial counts as failed."""
_DIED = Verdict(
    "stop",
    f"{FAILED}: its process died",
    f"{_PROCESS_DEATHS + 1} times",
    0,
    "lower batch_size or search.concurrent_trials if memory ran out; Ray's logs say more",
)


class _TrialProcess(tune.Trainable):
    """A process that trains one run after the other; a step of Tune is one validation of ours.

    Nothing is touched before the first step: Tune also sets up processes for trials that it then gives
    to another process.
    """

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        self._waiting: dict[str, Any] | None = config
        self._shared = shared

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
            self._run = TrialRun(content["spec"], Path(content["folder"]), RunRecord(**content["record"]))
        reading = self._run.step()
        # One string: Tune flattens what it is told, and copies every key.
        return {"done": reading.ended, "reading": json.dumps(asdict(reading))}


class _SourceSearcher(Searcher):
    """Ray Tune's Searcher over a :class:`TrialSource`."""

    def __init__(self, source: TrialSource) -> None:
        super().__init__()
        self.source = source
        self.keys: dict[str, int] = {}
        self.assignments: dict[int, Assignment] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        assignment = self.source.next()
        if assignment is None:
            return Searcher.FINISHED
        self.keys[trial_id] = assignment.key
        self.assignments[assignment.key] = assignment
        content = {"spec": assignment.spec, "folder": str(assignment.folder), "record": vars(assignment.record)}
        # One string: Tune flattens, tags and copies every key of a config, which costs more than a short trial.
        return {"assignment": json.dumps(content)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        key = self.keys[trial_id]
        if pending_signal() is not None:
            return
        failure = _reading(result).failure if result and "reading" in result else None
        if error:
            self.source.fail(key, _DIED)
        elif failure is not None:
            self.source.fail(key, failure)
        else:
            self.source.complete(key)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts for a restore that is never asked for."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the source keeps its own state on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the source keeps its own state on disk."""


class _UntilSignal(tune.Stopper):
    """Ends all trials after a signal; the study keeps them as running, and the next start takes them up."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return pending_signal() is not None


class _SourceScheduler(FIFOScheduler):
    """Stops what the source wants stopped."""

    def __init__(self, searcher: _SourceSearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        key = self._searcher.keys[trial.trial_id]
        reading = _reading(result)
        stop = self._searcher.source.report(key, reading)
        if stop:
            note_pruned(self._searcher.assignments[key], reading)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


def _reading(result: Mapping[str, Any]) -> Reading:
    content = json.loads(result["reading"])
    verdicts, failure = Verdict.read_all(content["verdicts"]), content["failure"]
    return Reading(**{**content, "verdicts": verdicts, "failure": failure and Verdict(**failure)})


def run_trials(source: TrialSource, *, limit: int, wanted: int | None, cpus: int, device: str, gpus: float) -> None:
    """Carry out up to ``limit`` runs of ``source``, as many at a time as fit.

    Args:
        wanted: trials at a time at most; None takes what fits.
        cpus: CPUs of one trial.
        device: ``auto`` and ``cuda`` give each trial ``gpus`` of one GPU where the cluster has some.

    Raises:
        RunFailed: the cluster has no room for a single trial.
        Interrupted: a signal was noted.
    """
    needs = {"CPU": float(cpus), "GPU": gpus if wants_gpu(device) else 0.0}
    together = concurrent_trials(wanted, needs)
    if together < 1:
        raise RunFailed(
            f"no room on the cluster for one trial ({cpus} x CPU{f', {gpus:g} x GPU' if needs['GPU'] else ''})",
            expected="free resources",
            fix="lower cpu_threads, set device: cpu, or wait for other jobs to end",
        )
    searcher = _SourceSearcher(source)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    trainable = tune.with_parameters(_TrialProcess, shared=Shared())
    with tempfile.TemporaryDirectory(prefix="distsys-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, needs),
            tune_config=tune.TuneConfig(
                num_samples=limit,
                search_alg=searcher,
                scheduler=_SourceScheduler(searcher),
                max_concurrent_trials=together,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="trials",
                stop=_UntilSignal(),
                storage_path=scratch,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=_PROCESS_DEATHS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        with signals_noted():  # only now: ray.init sets handlers of its own
            tuner.fit()
            raise_if_interrupted(KEPT)
