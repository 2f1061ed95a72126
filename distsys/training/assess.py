"""The final look: a chosen checkpoint on the test set, beside every baseline."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsys.domains.protocol import DataBundle, Domain, MetricSpec, Sampling, effective_constraints
from distsys.domains.registry import get_domain
from distsys.errors import UsageError
from distsys.training import checkpoint
from distsys.training.evaluate import evaluate, judged, undisturbed
from distsys.training.loop import cached_data, changed_sets
from distsys.training.spec import RunSpec
from distsys.training.workers import pick_device

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn


_DEEPEST = 4
"""Folders between a checkpoint and the experiment it belongs to."""


@dataclass(frozen=True)
class Assessment:
    """Metrics of one checkpoint on the test set.

    Args:
        baselines: rows of metrics that need no model, by name.
        constraints: metric to its band, value and whether it holds.
        changed: frozen sets that are not those of the training.
    """

    checkpoint: str
    step: int
    selection: str
    unit: str
    direction: str
    noise_floor: float
    metrics: Mapping[str, float]
    constraints: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Mapping[str, float]]
    ill: list[str]
    data: Mapping[str, Any]
    changed: list[str]

    @property
    def value(self) -> float:
        return self.metrics[self.selection]

    def beaten_by(self) -> list[str]:
        """Baselines with a better selection metric than the model's."""
        spec = MetricSpec(self.selection, "max" if self.direction == "max" else "min", self.unit)
        rows = {name: row.get(self.selection, math.nan) for name, row in self.baselines.items()}
        return [name for name, value in rows.items() if math.isfinite(value) and spec.better(value, than=self.value)]

    def write(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(partial, path)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint brought back to life on this machine's device."""

    spec: RunSpec
    domain: Domain
    model: nn.Module
    source: checkpoint.Checkpoint

    def data(self) -> DataBundle:
        """The data it was trained on, built again."""
        return cached_data(self.domain, self.spec)


def load_model(path: Path, *, domain: Domain | None = None) -> Loaded:
    """The model in checkpoint directory ``path``.

    Raises:
        CheckpointError: it is missing or damaged.
        UsageError: it is of another domain than ``domain``.
    """
    source = checkpoint.load(path)
    own = source.meta["config"]["domain"]
    if domain is not None and domain.name != own:
        raise UsageError(f"{path}: a model of '{own}'", expected=f"one of '{domain.name}'")
    domain = domain or get_domain(own)
    spec = RunSpec.from_content(source.meta, domain)
    model = domain.build_model(spec.config, source.statistics)
    model.load_state_dict(dict(source.model))
    return Loaded(spec, domain, model.to(pick_device(spec.config.device)).eval(), source)


def assess(path: Path) -> Assessment:
    """Evaluate the checkpoint in ``path`` on its test set."""
    loaded = load_model(path)
    domain = loaded.domain
    bundle = loaded.data()
    device = next(loaded.model.parameters()).device
    constraints = effective_constraints(domain, loaded.spec.bands())
    found = evaluate(domain, loaded.model, bundle.test.to(device), constraints=constraints)
    return Assessment(
        checkpoint=str(path),
        step=loaded.source.step,
        selection=domain.selection.name,
        unit=domain.selection.unit,
        direction=domain.selection.direction,
        noise_floor=found.noise_floor(),
        metrics=dict(found.metrics),
        constraints={
            item.metric: {
                "band": str(item),
                "value": found.metrics[item.metric],
                "holds": item.violation(found.metrics[item.metric]) == 0.0,
            }
            for item in constraints
        },
        baselines={name: dict(row) for name, row in bundle.test.baselines().items()},
        ill=judged(found, constraints, step=loaded.source.step),
        data={**bundle.provenance, "test_digest": bundle.test.digest, "validation_digest": bundle.validation.digest},
        changed=changed_sets(loaded.source.meta, bundle),
    )


def known_ills(path: Path) -> list[str]:
    """What the evaluation of the checkpoint in ``path`` objected to, where it was evaluated."""
    for folder in path.parents[:_DEEPEST]:
        written = folder / "evaluation.json"
        if written.is_file():
            content = json.loads(written.read_text(encoding="utf-8"))
            return list(content["ill"]) if content["checkpoint"] == str(path) else []
    return []


def figures_of(path: Path) -> Mapping[str, Figure]:
    """The domain's figures for the checkpoint in ``path``, on its test set."""
    loaded = load_model(path)
    device = next(loaded.model.parameters()).device
    with undisturbed(loaded.model, seed=0):
        return loaded.domain.figures(loaded.model, loaded.data().test.to(device))


def samples_of(path: Path) -> Mapping[str, bytes]:
    """Files to listen to or open, of the checkpoint in ``path`` on its test set; none where the domain has none."""
    loaded = load_model(path)
    if not isinstance(loaded.domain, Sampling):
        return {}
    device = next(loaded.model.parameters()).device
    with undisturbed(loaded.model, seed=0):
        return loaded.domain.samples(loaded.model, loaded.data().test.to(device))


def find_checkpoint(place: Path) -> Path:
    """The best checkpoint of an experiment, run or checkpoint directory.

    Raises:
        UsageError: there is none, or several experiments to choose from.
    """
    if (place / "manifest.json").is_file():
        return place
    outcomes = sorted(place.glob("final/*/outcome.json")) or sorted(place.glob("outcome.json"))
    if not outcomes:
        outcomes = sorted([*place.glob("*/final/*/outcome.json"), *place.glob("*/outcome.json")])
    if len(outcomes) != 1:
        found = ", ".join(sorted({str(item.parent) for item in outcomes})) or "none"
        raise UsageError(
            f"{place}: {len(outcomes)} finished trainings ({found})",
            expected="an experiment with one finished training, or a checkpoint directory",
            fix="name one of them" if outcomes else "run 'distsys run' or 'distsys final' first",
        )
    content = json.loads(outcomes[0].read_text(encoding="utf-8"))
    best = content["selection"]["best"]
    if best is None:
        raise UsageError(f"{place}: no checkpoint is healthy", fix="see its report for what the constraints object to")
    return checkpoint.directory_of(outcomes[0].parent, best["step"])
