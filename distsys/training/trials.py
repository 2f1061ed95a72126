"""Short runs that somebody else hands out: what they are, how they are carried out, and a driver without Ray."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from distsys.domains.registry import get_domain
from distsys.errors import DiskFull, DistsysError, Interrupted, RunFailed, StoppedByHealth
from distsys.files import full_disk_named
from distsys.health.verdict import FAILED, Verdict
from distsys.storage.place import SHARED, Place
from distsys.tracking.spool import RunRecord, Spool, read_status
from distsys.training.context import FitContext
from distsys.training.interrupt import raise_if_interrupted, signals_noted
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

NO_VALIDATION = Verdict(
    "stop", f"{FAILED}: it left no validation", "its outcome is missing", 0, "run the same command again"
)
KEPT = "ended trials are kept, running ones go on from their last checkpoint"


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
    """What a validation says to whoever decides on the trial.

    Args:
        ended: whether the run is over, by its budget or because going on is pointless.
        failure: why there is no validation, or None.
        no_space: which file a full disk kept from being written; the trial has not failed, and goes on when there is.
    """

    step: int
    value: float = math.nan
    noise_floor: float = 0.0
    verdicts: tuple[Verdict, ...] = ()
    ended: bool = False
    failure: Verdict | None = None
    no_space: str = ""


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

    def fail(self, key: int, verdict: Verdict) -> None:
        """The run ended without a result."""
        ...


class TrialRun:
    """One run in this process, moved on one validation at a time.

    Args:
        spec: plain content of its RunSpec.
        workers: this process's place among those that share the run's batches; None is alone. The first one tells
            trackers.
    """

    def __init__(
        self, spec: Mapping[str, Any], folder: Path, record: RunRecord, workers: Workers | None = None
    ) -> None:
        self._spec, self._folder, self._record, self._workers = spec, folder, record, workers
        self._tracker: Spool | None = None
        self._run: Run | None = None

    def step(self) -> Reading:
        """Train until the next validation; what goes wrong is a reading too.

        Raises:
            Interrupted: a signal was noted; the state is saved.
        """
        try:
            return self._step_or_failure()
        except DiskFull as error:
            return Reading(self._run.step if self._run else 0, ended=True, no_space=error.found)

    def _step_or_failure(self) -> Reading:
        try:
            with full_disk_named(self._folder):
                return self._step()
        except DiskFull:
            raise
        except Interrupted as error:
            if self._tracker is not None:
                self._tracker.finish("interrupted", error.found)
            raise
        except StoppedByHealth as error:
            return self._failed(type(error).__name__, error.found, error.fix, known=error.verdicts)
        except DistsysError as error:
            return self._failed(type(error).__name__, error.found, error.fix)
        except Exception as error:
            # Whoever drives trials would repeat it and keep the reason to itself.
            if self._tracker is not None:
                with full_disk_named(self._folder):
                    self._tracker.artifact("traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            return self._failed(type(error).__name__, str(error), "see artifacts/traceback.txt in the trial's folder")

    def _step(self) -> Reading:
        if self._tracker is None and (self._workers is None or self._workers.is_first):
            self._tracker = Spool.open(self._folder, self._record)
        if self._run is None:
            domain = get_domain(self._spec["config"]["domain"])
            spec = RunSpec.from_content(self._spec, domain)
            workers = self._workers or Workers(pick_device(spec.config.device))
            self._run = Run(FitContext(spec, domain, self._folder, workers, self._tracker))
            self._metric, self._validations = domain.selection.name, self._run.validations()
        found = next(self._validations, None)
        if self._run.is_over:
            outcome = self._run.finish()
            if self._tracker is not None:
                self._tracker.finish("finished", verdicts=outcome.verdicts)
        if found is None:
            return Reading(self._run.step, ended=True)
        return Reading(
            found.step,
            found.metrics[self._metric],
            found.extra["noise_floor"],
            tuple(found.verdicts),
            ended=self._run.is_over,
        )

    def ended_by(self, reading: Reading) -> Reading:
        """Note that the run failed with what another worker met, whatever that came to here."""
        assert reading.failure is not None
        if self._tracker is not None:
            self._tracker.finish("failed", str(reading.failure), verdicts=[reading.failure])
        return reading

    def _failed(self, kind: str, found: str, fix: str, *, known: Sequence[Verdict] = ()) -> Reading:
        step = self._run.step if self._run else 0
        verdict = known[0] if known else Verdict("stop", f"{FAILED}: {kind}", found, step, fix)
        if self._tracker is not None:
            self._tracker.finish("failed", str(verdict), verdicts=[verdict])
        return Reading(step, ended=True, failure=verdict)


def run_alone(source: TrialSource, *, limit: int, place: Place = SHARED) -> None:
    """Carry out up to ``limit`` runs of ``source``, one after the other, in this process.

    Args:
        place: which may have checkpoints of them.

    Raises:
        Interrupted: a signal was noted.
        DiskFull: there is no space; the run goes on when there is.
    """
    with signals_noted():
        for _ in range(limit):
            if (assignment := source.next()) is None:
                return
            place.fetch(assignment.folder)
            _carry_out(source, assignment)
            raise_if_interrupted(KEPT)


def _carry_out(source: TrialSource, assignment: Assignment) -> None:
    run = TrialRun(assignment.spec, assignment.folder, assignment.record)
    while True:
        reading = run.step()
        raise_if_interrupted(KEPT)
        if reading.no_space:
            raise DiskFull.told(reading.no_space)
        if reading.failure is not None:
            return source.fail(assignment.key, reading.failure)
        if reading.ended:
            return source.complete(assignment.key)
        if source.report(assignment.key, reading):
            note_pruned(assignment, reading)
            return source.complete(assignment.key)


def note_failed(assignment: Assignment, verdict: Verdict) -> None:
    """The run's process could not tell how it ended."""
    Spool.open(assignment.folder, assignment.record).finish("failed", str(verdict), verdicts=[verdict])


def note_interrupted(assignment: Assignment, why: str) -> None:
    """The run's process was ended while it worked."""
    with suppress(RunFailed):  # it was only about to begin
        if read_status(assignment.folder).status == "running":
            Spool(assignment.folder).finish("interrupted", why)


def note_pruned(assignment: Assignment, last: Reading) -> None:
    """The run was stopped early because others were clearly better."""
    Spool.open(assignment.folder, assignment.record).finish("pruned", verdicts=last.verdicts)
