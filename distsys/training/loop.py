"""The training loop: plain PyTorch, the same alone, in a trial, and on the workers of Ray Train."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from distsys.domains.protocol import Batch
from distsys.errors import CheckpointError, StoppedByHealth
from distsys.health.causes import NOT_FINITE, STALE_MOMENTS
from distsys.health.verdict import Verdict
from distsys.tracking.spool import ATTEMPT, read_metrics
from distsys.training import checkpoint
from distsys.training.context import FitContext
from distsys.training.course import Course
from distsys.training.data import built_data, changed_sets, set_digests
from distsys.training.evaluate import Validation, validate
from distsys.training.feeding import Feeder
from distsys.training.interrupt import raise_if_interrupted, saving, signals_noted
from distsys.training.judge import Judge
from distsys.training.objective import Objective
from distsys.training.origin import has_other_code, load_origin
from distsys.training.outcome import Outcome
from distsys.training.selection import Selection
from distsys.training.stamp import code_stamp
from distsys.training.step import Stepper, seed_globally
from distsys.training.stuck import watched

SEARCH_CHECKPOINT_S = 15.0
"""A trial is saved this often: shorter ones lose less by starting again than by writing."""
_LOGGED = 3
"""Validations of which a checkpoint holds what trackers were told."""
_SAME_LOSS = 0.01
"""Of a validation loss: less is another machine's rounding, or too little to mislead moments."""


def fit(context: FitContext) -> Outcome:
    """Train to the end of the budget and return what was chosen, which also stands in the folder.

    Raises:
        Interrupted: a signal came; the state is saved.
        StoppedByHealth: going on is pointless, and there is nothing to choose from.
    """
    run = Run(context)
    with signals_noted():
        for validation in run.validations():
            context.report(validation)
    return run.finish()


class Run:
    """One run in progress: built from its context, resumed from its folder."""

    def __init__(self, context: FitContext) -> None:
        self._context = context
        self._spec, self._domain, self._workers = context.spec, context.domain, context.workers
        config = self._spec.config
        torch.set_num_threads(config.cpu_threads)
        self.data = built_data(self._domain, self._spec.config)
        self._validation_set = self.data.validation.to(self._workers.device)
        seed_globally(config.seed, self._workers.device)
        model = self._domain.build_model(config, self.data.statistics).to(self._workers.device)
        self._objective = Objective(self._domain.terms, self._spec.weights())
        self._stepper = Stepper(
            self._domain, model, self._objective, config=config, steps=self._spec.steps, workers=self._workers,
            due_every=self._spec.eval_every_steps,
        )  # fmt: skip
        self._feeder = Feeder(
            self.data.train, self._indices_of, steps=self._spec.steps, device=self._workers.device,
            settings=config.feeding,
        )  # fmt: skip
        self._monitor, self._clock = self._stepper.monitor, self._stepper.clock
        self._judge = Judge.of(self._domain, self._spec, self.data, self.data.validation)
        self.selection = Selection(self._domain.selection)
        self.step = 0
        self._logged: list[tuple[int, dict[str, float]]] = []
        self.notes: list[str] = []
        self._course = Course()
        self._is_hopeless = False
        self._saved_at = time.monotonic()
        self._previous_step = 0
        self._resume()

    def validations(self) -> Iterator[Validation]:
        """Train, and yield each validation after its metrics and checkpoint are safe."""
        rank = f"worker {self._workers.rank}" if self._workers.world_size > 1 else ""
        with watched(self._context.folder, name=rank) as self._watch, self._feeder.ahead():
            yield from self._validations()

    def _validations(self) -> Iterator[Validation]:
        self._clock.begin()
        while not self.is_over:
            with self._watch.piece("step"):
                batch = self._train_one_or_go_back()
            if batch is None:
                self._clock.begin()
            elif self._is_due():
                with self._watch.piece("validation"):
                    validation = self._validate(batch)
                self._is_hopeless = self._spec.is_short and validation.is_lost
                yield validation
                self._clock.begin()
            elif self._stepper.is_asked_to_stop:
                self._save()
                raise_if_interrupted(f"state of step {self.step} is saved in {self._context.folder}")

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent, or the run will not get well again.

        A short one that is sick or has met a NaN will not, nor will one whom going back did not help.
        """
        return self._is_hopeless or bool(self._course.ended_by) or self.step >= self._spec.steps

    def rehearse(self) -> Validation:
        """One training step and one validation, with nothing written: what is broken shows at once."""
        return self._measured(self._train_one())

    def finish(self) -> Outcome:
        """What was chosen; the first worker writes it to the run's folder."""
        outcome = Outcome(
            self._context.folder,
            self._spec.content(),
            self.selection,
            notes=(*self._course.notes, *self.notes),
            ended_early=self._is_hopeless,
            ended_by=self._course.ended_by,
            standing=() if self._spec.is_short else tuple(self._monitor.verdicts),
        )
        if self._context.tracker is not None:
            self._context.tracker.flush()  # metrics of an ended run are nowhere else
        if self._workers.is_first:
            outcome.write()
        return outcome

    def _is_due(self) -> bool:
        is_last = self.step == self._spec.steps or (self._spec.is_short and self._monitor.is_sick_everywhere)
        return is_last or self.step % self._spec.eval_every_steps == 0

    def _indices_of(self, step: int) -> list[range]:
        size = self._spec.config.batch_size
        return self._workers.parts_of(step * size, size, parts=self._spec.config.accumulate)

    def _train_one(self) -> Batch:
        self._clock.start()
        parts = self._feeder.batches(self.step)
        self._clock.ended("data")
        self._stepper.step(*parts, progress=self.step / self._spec.steps, seed=self._step_seed())
        self.step += 1
        return parts[-1]

    def _train_one_or_go_back(self) -> Batch | None:
        """The batch of one more step; None where that step was one too many and the run went back, or ended."""
        try:
            return self._train_one()
        except StoppedByHealth as error:
            if self._spec.is_short or self.selection.last is None:
                raise
            named = error.verdicts or (NOT_FINITE.verdict("stop", "", step=self.step + 1),)
            verdicts = self._workers.from_first([replace(item, evidence=error.found) for item in named])
            self.selection.retract(verdicts)
            if not self._goes_back(verdicts):
                self._end(verdicts)
            return None

    def _goes_back(self, verdicts: Sequence[Verdict]) -> bool:
        """Whether the run could go back to its last healthy checkpoint, with fresh moments; that is saved at once."""
        to, at = self.selection.last_healthy_step, self.step
        if to is None or self._course.rollbacks >= self._spec.rollbacks:
            return False
        path = checkpoint.directory_of(self._context.folder, to)
        self._workers.bring(path)
        try:
            found = checkpoint.load(path, identity=self._spec.identity)
        except CheckpointError as error:
            self._course.say(f"cannot go back: {error.found}")
            return False
        self._restore(found)
        self._stepper.forget_moments()
        self._course.goes_back(verdicts, at=at, to=to)
        self._workers.gather(None)  # all have read it before the first writes it anew
        self._save()
        return True

    def _end(self, verdicts: Sequence[Verdict]) -> None:
        best = self.selection.best
        self._course.ends(verdicts, at=self.step, best=best.step if best else None)

    def _step_seed(self) -> int:
        """A seed of its own for every step and worker (a 64-bit mix of odd constants, Steele et al. 2014)."""
        mixed = self._spec.config.seed * 0x9E3779B97F4A7C15 + self.step * 0xBF58476D1CE4E5B9 + self._workers.rank
        return int(mixed * 0x94D049BB133111EB % 2**63)

    def _validate(self, batch: Batch) -> Validation:
        self._stepper.settle()
        validation = self._workers.from_first(self._measured(batch) if self._workers.is_first else None)
        self.selection.update(validation)
        self.selection.retract(validation.verdicts)
        self._log(validation)
        if validation.is_lost and not self._spec.is_short:
            if self._goes_back(validation.verdicts):
                return validation
            if self._course.rollbacks:
                self._end(validation.verdicts)
        if self._should_save():
            self._save()
        return validation

    def _log(self, validation: Validation) -> None:
        """To the tracker, and into coming checkpoints: a crash of the machine may tear what trackers wrote last."""
        self._logged = [*self._logged, (self.step, validation.flat())][-_LOGGED:]
        if self._context.tracker is not None:
            self._context.tracker.log(validation.flat(), step=self.step)

    def _measured(self, batch: Batch) -> Validation:
        progress, timings = self.step / self._spec.steps, self._clock.readings()
        shares = self._stepper.gradient_shares(batch, progress=progress, seed=self._step_seed())
        found = self._validated()
        self._monitor.weigh(shares)
        extra = {**found.extra, **self._stepper.readings(), **timings}
        if self._spec.rollbacks:
            extra[ATTEMPT] = float(self._course.rollbacks)
        verdicts = [*self._monitor.verdicts, *found.verdicts]
        is_lost = self._monitor.is_sick or not found.is_finite
        return replace(found, gradient_shares=shares, extra=extra, verdicts=verdicts, is_lost=is_lost)

    def _validated(self) -> Validation:
        return validate(
            self._domain,
            self._stepper.evaluated,
            self._validation_set,
            config=self._spec.config,
            objective=self._objective,
            judge=self._judge,
            step=self.step,
            progress=self.step / self._spec.steps,
        )

    def _should_save(self) -> bool:
        if self._spec.phase == "final":  # a candidate, too, may have to be named by its nearest checkpoint
            return True
        return self._workers.from_first(time.monotonic() - self._saved_at > SEARCH_CHECKPOINT_S)

    def _save(self) -> None:
        """Every worker comes here, the first one writes; a signal, which others may not have, reaches none of several.

        Ray runs their loops beside the main thread.
        """
        self._saved_at = time.monotonic()
        self._stepper.settle()
        health = self._workers.gather(self._monitor.state())
        if not self._workers.is_first:
            return
        with saving():
            checkpoint.save(
                self._context.folder,
                meta=self._meta(),
                model=self._stepper.evaluated.state_dict(),
                training={**self._stepper.state(), "health": health},
                statistics=self.data.statistics,
            )
        kept = {self.step, self._previous_step} | self.selection.named_steps
        checkpoint.keep_only(self._context.folder, kept)
        self._previous_step = self.step

    def _meta(self) -> dict[str, Any]:
        last, healthy = self.selection.last, self.selection.last_healthy_step == self.step
        return {
            "step": self.step,
            **self._spec.content(),
            "identity": self._spec.identity,
            "health": "ok" if healthy else "not shown healthy at this step",
            "verdicts": [verdict.content() for verdict in last.verdicts] if last and last.step == self.step else [],
            "selection": self.selection.state(),
            "course": self._course.state(),
            "logged": self._logged,
            "sets": set_digests(self.data),
            "code": code_stamp(self._domain),
        }

    def _resume(self) -> None:
        folder = self._context.folder
        has_any = checkpoint.directory_of(folder, 0).parent.is_dir()
        # The hash reads every key, which a rehearsal would take for their use.
        found, complaints = checkpoint.latest(folder, identity=self._spec.identity if has_any else None)
        self.notes += [f"skipped a damaged checkpoint: {text}" for text in complaints]
        if found is None:
            if not self._spec.is_short and (lines := read_metrics(folder)):
                self.notes.append(f"no checkpoint is left of {len(lines)} validations: begins again at step 0")
            self._begin()
            return
        self._restore(found)
        self._course.load(found.meta["course"])
        if self._context.tracker is not None:
            for step, metrics in self._logged:
                self._context.tracker.log(metrics, step=step)
        if changed := changed_sets(found.meta, self.data):
            self._course.say(f"since step {self.step} other data: {' and '.join(changed)} set changed")
        if has_other_code(found, self._domain):
            self._meets_other_code()
        last = self.selection.last
        is_finite = last is None or all(item.cause != NOT_FINITE.name for item in last.verdicts)
        self._is_hopeless = self._spec.is_short and (self._monitor.is_sick_everywhere or not is_finite)
        self.notes.append(f"resumed at step {self.step} of {self._spec.steps}")

    def _meets_other_code(self) -> None:
        """The domain's code changed since the checkpoint: whether its loss did shows at its last validation.

        Raises:
            StoppedByHealth: it did, and nobody has accepted that.
        """
        fresh = f"'train' or 'final' with --from {self._context.folder} --reset-optimizer goes on with fresh ones"
        changed, last = f"since step {self.step} the domain's code changed", self.selection.last
        if last is None or last.step != self.step:
            self._course.say(f"{changed} ({STALE_MOMENTS.name}, if its loss did): {fresh}")
            return
        now = self._workers.from_first(self._validated().loss if self._workers.is_first else None)
        if math.isclose(now, last.loss, rel_tol=_SAME_LOSS):
            self._course.say(f"{changed}, and its loss did not")
            return
        found = f"{changed}: its validation loss was {last.loss:.4g} and is {now:.4g} of the same weights"
        self._course.say(f"{found} ({STALE_MOMENTS.name}): {fresh}")
        if STALE_MOMENTS.name not in self._spec.config.health.accept:
            way = f"{fresh}; where it is meant: --set 'health.accept=[{STALE_MOMENTS.name}]'"
            verdict = STALE_MOMENTS.verdict("stop", found, step=self.step, fix=way)
            raise StoppedByHealth(f"{STALE_MOMENTS.name}: {found}", fix=way, verdicts=(verdict,))

    def _begin(self) -> None:
        """At step 0, with fresh weights or another run's."""
        if (origin := self._spec.origin) is None:
            return
        source = load_origin(origin)
        taken = self._stepper.begin_from(source.model, None if origin.reset_optimizer else source.training_state())
        self._course.notes.append(f"started from step {origin.step} of {origin.path}: {taken}")

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        """Weights, moments, check states and choices as they were; workers that are new take the first one's checks."""
        state, rank = found.training_state(), self._workers.rank
        self._stepper.load(state)
        self._monitor.load(state["health"][rank if rank < len(state["health"]) else 0])
        self.selection.load(found.meta["selection"])
        self._logged = [(step, metrics) for step, metrics in found.meta.get("logged", [])]
        self.step = self._previous_step = found.step
