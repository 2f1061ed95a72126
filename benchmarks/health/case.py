"""One case of the benchmark: an experiment, healthy or with one defect put in, examined and trained for a while."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from distsys.config.space import Dimension, Value
from distsys.config.validate import with_values
from distsys.domains.protocol import AnyDomain, Batch
from distsys.errors import DistsysError, StoppedByHealth
from distsys.health.verdict import Constraint, Verdict, is_sick
from distsys.pipeline.doctor import diagnosed
from distsys.pipeline.experiment import load_experiment
from distsys.training.context import FitContext
from distsys.training.loop import Run
from distsys.training.outcome import Outcome
from distsys.training.spec import Phase, RunSpec
from distsys.training.workers import Workers, pick_device

DOMAINS = ("ground_motion", "ris_localization", "semantic_eq", "speaker_extraction")
SHIPPED = "demo"
"""Label of a healthy case that is a preset as it ships."""
_FEW_ITEMS = "data.validation_items=20"
BUDGETS: Mapping[str, tuple[str, ...]] = {
    "ground_motion": ("final.steps=120", "final.eval_every_steps=40"),
    "ris_localization": ("final.steps=200", "final.eval_every_steps=50"),
    "semantic_eq": ("final.steps=200", "final.eval_every_steps=50"),
    "speaker_extraction": ("final.steps=100", "final.eval_every_steps=25", _FEW_ITEMS),
}
"""Of runs with a defect, and of oddities: short ones, since a defect is to be seen early."""
Apply = Callable[[ExitStack, AnyDomain], AnyDomain]
"""Puts a defect in: the domain with it, and patches that last as long as the stack."""


@dataclass(frozen=True)
class Case:
    """What is examined.

    Args:
        domain: its name.
        seed: of data, model and steps.
        label: what it is, for the table; ``D5 constant predictions``, say.
        names: causes that name it rightly, empty for a healthy case.
        apply: puts the defect in.
        settings: ``key=value`` in place of the preset's.
        phase: whose weights and budget; a trial of the search has its parameters drawn from the search space.
        earlier: steps that a run without the defect's cure made before, to be resumed; 0 begins afresh.
    """

    domain: str
    seed: int
    label: str
    names: frozenset[str] = frozenset()
    apply: Apply | None = None
    settings: tuple[str, ...] = ()
    phase: Phase = "final"
    earlier: int = 0


@dataclass
class Row:
    """What came of a case.

    Args:
        verdicts: status, cause, evidence and the step at which it was first said, in the order in which a person
            reads them: the doctor's (step 0) first, then those of the run's end.
        is_crowned: whether the run ended with a checkpoint that may be chosen.
        metrics: selection and constrained metrics by validated step.
    """

    domain: str
    label: str
    seed: int
    phase: str
    names: list[str]
    verdicts: list[dict[str, object]] = field(default_factory=list)
    is_crowned: bool = False
    is_stopped: bool = False
    error: str = ""
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)
    doctor_s: float = 0.0
    seconds: float = 0.0

    @property
    def is_named(self) -> bool:
        return any(item["cause"] in self.names for item in self.verdicts)

    @property
    def is_named_first(self) -> bool:
        return bool(self.verdicts) and self.verdicts[0]["cause"] in self.names

    @property
    def step(self) -> int | None:
        """The first at which the right cause was named; 0 is before any."""
        steps = [int(str(item["step"])) for item in self.verdicts if item["cause"] in self.names]
        return min(steps) if steps else None


def examined(case: Case) -> Row:
    """The doctor's word on a case and, unless that ends it, a run's; whatever is raised stands in the row."""
    row = Row(case.domain, case.label, case.seed, case.phase, sorted(case.names))
    began = time.perf_counter()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        try:
            _examine(case, row, Path(folder), stack)
        except StoppedByHealth as error:
            row.is_stopped = True
            _note(row, error.verdicts, {})
        except Exception as error:
            kind = "" if isinstance(error, DistsysError) else f"{type(error).__name__}: "
            row.error = f"{kind}{error}".splitlines()[0][:200]
    row.seconds = time.perf_counter() - began
    return row


def _examine(case: Case, row: Row, folder: Path, stack: ExitStack) -> None:
    settings = (*case.settings, f"seed={case.seed}", "device=cpu", "cpu_threads=1")
    experiment = load_experiment(case.domain, root=folder, preset="demo", overrides=settings)
    healthy, config = experiment.domain, experiment.config
    if case.phase == "search":
        config = with_values(config, drawn(experiment.space.dimensions, case.seed))
    spec = RunSpec(config, case.phase)
    if case.earlier:  # the defect stood in the code that made the checkpoint, and is gone now
        with ExitStack() as before:
            domain = case.apply(before, healthy) if case.apply else healthy
            _stopped_after(case.earlier, spec, domain, folder / "run")
        domain = healthy
    else:
        domain = case.apply(stack, healthy) if case.apply else healthy
        if not _is_passed(row, domain, spec):
            return
    run = _Noting(FitContext(spec, domain, folder / "run", Workers(pick_device("cpu")), None))
    _note(row, _verdicts_of_notes(run.finish().notes, case.names, case.earlier), {})
    _train(run, row, constraints=domain.constraints)


def _is_passed(row: Row, domain: AnyDomain, spec: RunSpec) -> bool:
    """Whether the doctor lets the experiment begin."""
    found = diagnosed(domain, spec.config)
    row.doctor_s = found.seconds
    stops = found.of("stop")
    _note(row, [*stops, *found.of("warn")], {})
    row.is_stopped = bool(stops)
    return not stops


def _train(run: _Noting, row: Row, *, constraints: Sequence[Constraint]) -> None:
    named = {run.selection.spec.name, *(item.metric for item in constraints)}
    try:
        for validation in run.validations():
            row.metrics[validation.step] = {name: value for name, value in validation.metrics.items() if name in named}
            run.note(validation.verdicts)
    finally:
        outcome: Outcome = run.finish()
        last = outcome.selection.last
        _note(row, [*outcome.verdicts, *(last.verdicts if last else ())], run.said)
    row.is_stopped = outcome.ended_early
    row.is_crowned = outcome.checkpoint is not None and not is_sick(outcome.verdicts)


class _Noting(Run):
    """A run that notes at which step each cause was first said."""

    def __init__(self, context: FitContext) -> None:
        self.said: dict[str, int] = {}
        super().__init__(context)

    def note(self, verdicts: Sequence[Verdict]) -> None:
        """``verdicts`` were said after the step that was just made."""
        for verdict in verdicts:
            self.said.setdefault(verdict.cause, self.step)

    def _train_one(self) -> Batch:
        batch = super()._train_one()
        self.note(self._monitor.verdicts)
        return batch


def _note(row: Row, verdicts: Sequence[Verdict], said: Mapping[str, int]) -> None:
    known = {item["cause"] for item in row.verdicts}
    row.verdicts += [
        {"status": v.status, "cause": v.cause, "evidence": v.evidence, "step": said.get(v.cause, v.onset_step)}
        for v in verdicts
        if v.cause not in known
    ]


def _verdicts_of_notes(notes: Sequence[str], names: frozenset[str], step: int) -> list[Verdict]:
    """What a resume says in words, as verdicts of the causes it names."""
    return [Verdict("warn", name, note, step) for note in notes for name in names if name in note]


def _stopped_after(steps: int, spec: RunSpec, domain: AnyDomain, folder: Path) -> None:
    run = Run(FitContext(spec, domain, folder, Workers(pick_device("cpu")), None))
    for validation in run.validations():
        if validation.step >= steps:
            return


def drawn(dimensions: Mapping[str, Dimension], seed: int) -> dict[str, Value]:
    """A random point of a search space; the priors for seed 0."""
    source = random.Random(seed)
    return {
        path: item.prior if seed == 0 and item.prior is not None else _value(item, source)
        for path, item in dimensions.items()
    }


def _value(item: Dimension, source: random.Random) -> Value:
    if item.choices is not None:
        return source.choice(item.choices)
    assert item.low is not None and item.high is not None
    if item.log:
        return float(item.low * (item.high / item.low) ** source.random())
    value = source.uniform(item.low, item.high)
    return round(value) if isinstance(item.low, int) and isinstance(item.high, int) else value
