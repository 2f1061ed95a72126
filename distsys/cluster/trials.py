"""The Ray Tune edge: many short runs in reused processes, each in its trial's own process."""

from __future__ import annotations

import json
import logging
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from distsys.cluster.session import concurrent_trials, wants_gpu
from distsys.domains.registry import get_domain
from distsys.errors import DistsysError, RunFailed
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.interrupt import pending_signal, raise_if_interrupted, signals_noted

_PROCESS_DEATHS = 2
"""Times that a trial's process may die before the trial counts as failed."""


@dataclass(frozen=True)
class Assignment:
    """One run to carry out.

    Args:
        key: what the source calls it.
        spec: plain content of its RunSpec.
        folder: where it keeps checkpoints, metrics and outcome.
        record: what trackers know of it.
    """

    key: int
    spec: Mapping[str, Any]
    folder: Path
    record: RunRecord


@dataclass(frozen=True)
class Reading:
    """What a validation says to whoever decides on the trial."""

    step: int
    value: float
    noise_floor: float
    ill: list[str]
    ended: bool = False


class TrialSource(Protocol):
    """Hands out runs and hears how they go; lives in the driver."""

    def next(self) -> Assignment | None:
        """The next run, or None when there is none left."""
        ...

    def report(self, key: int, reading: Reading) -> bool:
        """A validation; True stops the run."""
        ...

    def complete(self, key: int) -> None:
        """The run ended, by itself or stopped by :meth:`report`."""
        ...

    def fail(self, key: int, reason: str) -> None:
        """The run ended without a result."""
        ...


class _TrialProcess(tune.Trainable):
    """A process that trains one run after the other; a step of Tune is one validation of ours.

    Nothing is touched before the first step: Tune also sets up processes for trials that it then gives
    to another process.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._waiting: dict[str, Any] | None = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._waiting = new_config
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        from distsys.training.context import FitContext
        from distsys.training.loop import Run
        from distsys.training.spec import RunSpec
        from distsys.training.workers import Workers, pick_device

        folder = Path(config["folder"])
        self._tracker = Spool.open(folder, RunRecord(**config["record"]))
        domain = get_domain(config["spec"]["config"]["domain"])
        spec = RunSpec.from_content(config["spec"], domain)
        self._metric = domain.selection.name
        workers = Workers(pick_device(spec.config.device))
        self._run = Run(FitContext(spec, domain, folder, workers, self._tracker))
        self._validations = self._run.validations()
        self._steps = spec.steps

    def step(self) -> dict[str, Any]:
        try:
            if self._waiting is not None:
                content = json.loads(self._waiting["assignment"])
                self._waiting = None
                self._begin(content)
            validation = next(self._validations, None)
        except DistsysError as error:
            return self._failed(error.found)
        except Exception as error:
            # Tune would retry it and keep the reason to itself.
            self._tracker.artifact("traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            return self._failed(f"{type(error).__name__}: {error}")
        if validation is None or self._run.step >= self._steps:
            self._run.finish()
            self._tracker.finish("finished")
        if validation is None:
            return {"done": True, "step": self._steps}
        return {
            "done": self._run.step >= self._steps,
            "step": validation.step,
            "value": validation.metrics[self._metric],
            "noise_floor": validation.extra["noise_floor"],
            "ill": list(validation.ill),
        }

    def _failed(self, reason: str) -> dict[str, Any]:
        self._tracker.finish("failed", reason)
        return {"done": True, "failure": reason}


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
        if error:
            self.source.fail(key, f"its process died {_PROCESS_DEATHS + 1} times")
        elif result and result.get("failure"):
            self.source.fail(key, str(result["failure"]))
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
        reading = Reading(result["step"], result["value"], result["noise_floor"], result["ill"])
        stop = self._searcher.source.report(key, reading)
        if stop:
            folder = self._searcher.assignments[key].folder
            Spool.open(folder, self._searcher.assignments[key].record).finish("pruned")
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


def run_trials(source: TrialSource, *, limit: int, wanted: int | None, cpus: int, device: str) -> None:
    """Carry out up to ``limit`` runs of ``source``, as many at a time as fit.

    Args:
        wanted: trials at a time at most; None takes what fits.
        cpus: CPUs of one trial.
        device: ``auto`` and ``cuda`` give each trial a GPU where the cluster has some.

    Raises:
        RunFailed: the cluster has no room for a single trial.
        Interrupted: a signal was noted.
    """
    use_gpu = wants_gpu(device)
    together = concurrent_trials(wanted, cpus_per_trial=cpus, use_gpu=use_gpu)
    if together < 1:
        raise RunFailed(
            f"no room on the cluster for one trial ({cpus} x CPU{', 1 x GPU' if use_gpu else ''})",
            expected="free resources",
            fix="lower cpu_threads, set device: cpu, or wait for other jobs to end",
        )
    searcher = _SourceSearcher(source)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="distsys-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(_TrialProcess, {"CPU": cpus, "GPU": 1 if use_gpu else 0}),
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
            raise_if_interrupted("ended trials are kept, running ones go on from their last checkpoint")
