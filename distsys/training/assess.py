"""The final look: a chosen checkpoint on the test set, beside every baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsys.domains.protocol import (
    AnyDomain,
    Baseline,
    DataBundle,
    EvalSet,
    Evaluation,
    MetricSpec,
    Sampling,
)
from distsys.domains.registry import get_domain
from distsys.errors import CheckpointError, StoppedByHealth, UsageError
from distsys.files import write_json
from distsys.health.verdict import Constraint, Verdict, is_sick
from distsys.tracking.spool import STATUS_FILE, read_status
from distsys.training import checkpoint
from distsys.training.answers import require_baselines
from distsys.training.data import built_data, changed_sets, set_digests
from distsys.training.evaluate import evaluate, undisturbed
from distsys.training.evaluated import Evaluated
from distsys.training.judge import Judge
from distsys.training.outcome import Outcome
from distsys.training.spec import RunSpec
from distsys.training.workers import pick_device

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn


ANY_METRIC = MetricSpec("", "min", "")
"""For reading outcomes whose domain does not matter."""
_DEEPEST = 4
"""Folders between a checkpoint and the experiment it belongs to."""


@dataclass(frozen=True)
class Assessment:
    """Metrics of one checkpoint on the test set.

    Args:
        baselines: rows of metrics to see the model beside, by name.
        constraints: metric to its band, value and whether it holds.
        changed: frozen sets that are not those of the training.
        items: the selection metric of each item of the test set.
    """

    checkpoint: str
    step: int
    selection: str
    unit: str
    direction: str
    noise_floor: float
    metrics: Mapping[str, float]
    constraints: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Baseline]
    verdicts: Sequence[Verdict]
    data: Mapping[str, Any]
    changed: list[str]
    items: Sequence[float] = ()

    @property
    def value(self) -> float:
        return self.metrics[self.selection]

    @property
    def is_sick(self) -> bool:
        return is_sick(self.verdicts)

    def beaten_by(self) -> list[str]:
        """Baselines with a better selection metric than the model's; a bound is none."""
        spec = MetricSpec(self.selection, "max" if self.direction == "max" else "min", self.unit)
        rows = {
            name: row.metrics.get(self.selection, math.nan)
            for name, row in self.baselines.items()
            if row.kind != "bound"
        }
        return [name for name, value in rows.items() if math.isfinite(value) and spec.better(value, than=self.value)]

    def to_pandas(self) -> Any:
        """A row for the model and each baseline (its kind in ``kind``), a column a metric. Needs pandas."""
        import pandas as pd

        rows = {"model": {"kind": "model", **self.metrics}}
        rows |= {name: {"kind": row.kind, **row.metrics} for name, row in self.baselines.items()}
        return pd.DataFrame.from_dict(rows, orient="index")

    def write(self, path: Path) -> None:
        """Put it into ``path``."""
        write_json(path, asdict(self))


@dataclass(frozen=True)
class Loaded:
    """A checkpoint brought back to life on this machine's device."""

    spec: RunSpec
    domain: AnyDomain
    model: nn.Module
    source: checkpoint.Checkpoint

    def data(self) -> DataBundle:
        """The data it was trained on, built again."""
        return built_data(self.domain, self.spec.config)


def load_model(path: Path, *, domain: AnyDomain | None = None) -> Loaded:
    """The model in checkpoint directory ``path``.

    Raises:
        CheckpointError: it is missing or damaged, or of a version of the domain whose models are others.
        UsageError: it is of another domain than ``domain``.
    """
    source = checkpoint.load(path)
    name = source.meta["config"]["domain"]
    if domain is not None and domain.name != name:
        raise UsageError(f"{path}: a model of '{name}'", expected=f"one of '{domain.name}'")
    domain = domain or get_domain(name)
    spec = RunSpec.from_content(source.meta, domain)
    try:
        model = domain.build_model(spec.config, source.statistics)
        model.load_state_dict(dict(source.model))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: a model of another version of '{name}' ({' '.join(str(error).split())[:120]})",
            expected=f"one that this version of '{name}' trained",
            fix="train it again by the command that made it, or use the version that did",
        ) from error
    return Loaded(spec, domain, model.to(pick_device(spec.config.device)).eval(), source)


@dataclass(frozen=True)
class Examined:
    """A checkpoint that was evaluated on its test set, and what of that can still be shown."""

    assessment: Assessment
    loaded: Loaded
    test: EvalSet
    evaluation: Evaluation

    def figures(self) -> Mapping[str, Figure]:
        """The domain's figures."""
        with undisturbed(self.loaded.model, seed=0):
            return self.loaded.domain.figures(self.loaded.model, self.test, self.evaluation)

    def samples(self) -> Mapping[str, bytes]:
        """Files to listen to or open; none where the domain has none."""
        domain = self.loaded.domain
        if not isinstance(domain, Sampling):
            return {}
        with undisturbed(self.loaded.model, seed=0):
            return domain.samples(self.loaded.model, self.test, self.evaluation)


def assess(path: Path) -> Assessment:
    """Evaluate the checkpoint in ``path`` on its test set."""
    return examine(path).assessment


def examine(path: Path, *, refused: Sequence[Verdict] = ()) -> Examined:
    """The same, with what figures and samples need.

    Args:
        refused: why it may not be chosen, besides what its own validation found: it is sick whatever the test set
            says.
    """
    loaded = load_model(path)
    domain, bundle = loaded.domain, loaded.data()
    test = bundle.test.to(next(loaded.model.parameters()).device)
    rows = domain.baselines(loaded.spec.config, bundle, bundle.test)
    require_baselines(domain, rows)
    judge = Judge.of(domain, loaded.spec, bundle, bundle.test)
    found = evaluate(domain, loaded.model, test, constraints=judge.constraints)
    verdicts = judge.verdicts(found, step=loaded.source.step)
    known = [item for item in Verdict.read_all(loaded.source.meta.get("verdicts", ())) if item.status == "stop"]
    refused = [*refused, *known]
    assessment = Assessment(
        checkpoint=str(path),
        step=loaded.source.step,
        selection=domain.selection.name,
        unit=domain.selection.unit,
        direction=domain.selection.direction,
        noise_floor=found.noise_floor(),
        metrics=dict(found.metrics),
        constraints={item.metric: _held(item, found.metrics[item.metric]) for item in judge.constraints},
        baselines={name: Baseline(row.kind, dict(row.metrics)) for name, row in rows.items()},
        verdicts=[*verdicts, *_others(refused, verdicts)],
        data={**bundle.provenance, **{f"{name}_digest": digest for name, digest in set_digests(bundle).items()}},
        changed=changed_sets(loaded.source.meta, bundle),
        items=[float(value) for value in found.items],
    )
    return Examined(assessment, loaded, test, found)


def _others(verdicts: Sequence[Verdict], known: Sequence[Verdict]) -> list[Verdict]:
    """One verdict a cause, but for causes that are known."""
    first = {item.cause: item for item in reversed(verdicts)}
    return [item for cause, item in first.items() if cause not in {other.cause for other in known}]


def _held(constraint: Constraint, value: float) -> dict[str, Any]:
    return {"band": str(constraint), "value": value, "holds": constraint.violation(value) == 0.0}


def known_verdicts(path: Path) -> tuple[Verdict, ...]:
    """What is wrong with the checkpoint in ``path``.

    By its evaluation or, without one, by its own validation and by what its run found only later.
    """
    for folder in path.parents[:_DEEPEST]:
        if (known := Evaluated.read(folder)) is not None:
            below = path.relative_to(folder).parts
            if known.checkpoint.parts[-len(below) :] == below:  # folders are moved
                return known.verdicts
    meta = checkpoint.read_meta(path)
    own = Verdict.read_all(meta.get("verdicts", ()))
    return (*own, *_others(_found_later(path, step=meta["step"]), own))


def _found_later(path: Path, *, step: int) -> list[Verdict]:
    """What forbids a choice, was found at a later step, and had begun by ``step``."""
    outcome = Outcome.read(path.parents[1], ANY_METRIC)
    if outcome is None:
        return []
    selection = outcome.selection
    choices = [item for item in (selection.last, selection.by_loss, selection.nearest) if item is not None]
    found = [*outcome.ended_by, *outcome.refused_for, *(verdict for choice in choices for verdict in choice.verdicts)]
    return [item for item in found if item.status == "stop" and item.onset_step <= step]


def find_checkpoint(place: Path) -> Path:
    """The best checkpoint of an experiment, run or checkpoint directory.

    Raises:
        UsageError: there is none, or several experiments to choose from.
        StoppedByHealth: none is healthy.
    """
    if (place / "manifest.json").is_file():
        return place
    if not place.is_dir():
        raise UsageError(f"{place}: no such folder", expected="the folder of an experiment, a run or a checkpoint")
    outcomes = sorted(place.glob("final/*/outcome.json")) or sorted(place.glob("outcome.json"))
    if not outcomes:
        outcomes = sorted([*place.glob("*/final/*/outcome.json"), *place.glob("*/outcome.json")])
    ended = [found for path in outcomes if (found := Outcome.read(path.parent, ANY_METRIC)) is not None]
    healthy = [found for found in ended if found.checkpoint is not None]
    standing = [found.checkpoint for found in healthy if found.ended_well]
    if len(standing) != 1:  # several since a search was extended, none where all turned sick later
        standing = _evaluated(place, healthy) or standing
    if len(standing) == 1 and standing[0] is not None:
        return standing[0]
    validated = [found for found in ended if found.nearest_checkpoint is not None]
    if not healthy and validated:
        nearest = min(validated, key=lambda found: found.distance)
        raise StoppedByHealth(
            "\n".join([f"{place}: no checkpoint is healthy", *map(str, nearest.verdicts)]),
            expected="a healthy one; a sick one answers, with a warning, where it is named itself",
            fix=f"what the verdicts name; nearest to its bands is {nearest.nearest_checkpoint}",
            verdicts=nearest.verdicts,
        )
    _require_no_failure(place, ended)
    raise UsageError(
        f"{place}: {len(ended)} finished trainings ({', '.join(str(found.folder) for found in ended) or 'none'})",
        expected="an experiment with one finished training, or a checkpoint directory",
        fix="name one of them" if ended else "run 'distsys run' or 'distsys final' first",
    )


def _require_no_failure(place: Path, ended: Sequence[Outcome]) -> None:
    """Raises UsageError where the run or experiment in ``place`` ended before there was anything to choose from."""
    if ended or not (place / STATUS_FILE).is_file():
        return
    known = read_status(place)
    if known.status in ("stopped", "failed", "interrupted"):
        raise UsageError(
            f"{place}: {known.status} before there was a checkpoint to choose from: {known.message}",
            expected="a training that ended",
            fix="mend what that names, then the command that made it again",
        )


def _evaluated(place: Path, outcomes: Sequence[Outcome]) -> list[Path | None]:
    """Of several trainings the one that the experiment took, by its name: experiments are moved."""
    found = [outcome.checkpoint for outcome in outcomes]
    known = Evaluated.read(place) if len(found) > 1 else None
    return (
        found if known is None else [path for path in found if path and path.parts[-3:] == known.checkpoint.parts[-3:]]
    )
