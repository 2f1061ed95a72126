"""Trains every configuration of a pool in all the ways that searches ask for, and notes the curves."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

from benchmarks.health.case import drawn
from benchmarks.search_efficiency.curves import RECORDED, Curve, Entry, Point, read_pool
from distsys.config.validate import with_values
from distsys.errors import StoppedByHealth
from distsys.pipeline.experiment import Experiment, load_experiment
from distsys.training import checkpoint, loop
from distsys.training.context import FitContext
from distsys.training.evaluate import Validation
from distsys.training.spec import Origin, RunSpec
from distsys.training.workers import Workers, pick_device

SETTINGS = {
    "ground_motion": ("search.steps=90", "search.eval_every_steps=15", "final.steps=180", "final.eval_every_steps=30"),
    "ris_localization": (
        *("search.steps=320", "search.eval_every_steps=40"),
        *("final.steps=800", "final.eval_every_steps=160"),
    ),
    "semantic_eq": (
        *("search.steps=160", "search.eval_every_steps=20"),
        *("final.steps=1200", "final.eval_every_steps=200"),
    ),
    "speaker_extraction": (
        *("search.steps=80", "search.eval_every_steps=10"),
        *("final.steps=320", "final.eval_every_steps=80"),
    ),
}
"""On top of each domain's demo: trials with more validations, so that a search may look in earlier."""
SLICE = 0.2
"""Part of the final budget that a candidate gets."""


def settings_of(domain: str) -> tuple[str, ...]:
    """On top of each domain's demo."""
    return (*SETTINGS[domain], "device=cpu", "cpu_threads=1")


def record(domain: str, numbers: Sequence[int], folder: Path = RECORDED) -> None:
    """Add those of ``numbers`` to the pool of ``domain`` that it lacks; number 0 takes the priors."""
    with tempfile.TemporaryDirectory() as scratch:
        experiment = load_experiment(domain, root=Path(scratch), preset="demo", overrides=settings_of(domain))
        known = {entry.number for entry in read_pool(domain, folder)}
        for number in numbers:
            if number not in known:
                entry = _entry(experiment, number, Path(scratch))
                with (folder / f"{domain}.jsonl").open("a", encoding="utf-8") as file:
                    file.write(entry.line() + "\n")


def _entry(experiment: Experiment, number: int, scratch: Path) -> Entry:
    params = {path: float(str(value)) for path, value in drawn(experiment.space.dimensions, number).items()}
    config = with_values(experiment.config, params)
    trial = scratch / f"{number}-search"
    as_trial = config.search.steps / config.final.steps
    specs: dict[str, Callable[[], RunSpec]] = {
        "search": lambda: RunSpec(config, "search"),
        "strong": lambda: RunSpec(config, "final", share=as_trial),
        "slice": lambda: RunSpec(config, "final", share=SLICE),
        "warm": lambda: RunSpec(config, "final", share=SLICE, origin=_origin(trial)),
        "final": lambda: RunSpec(config, "final"),
    }
    curves, cpu_s = {}, {}
    for kind, spec in specs.items():
        began = time.process_time()
        curves[kind] = _curve(experiment, spec(), scratch / f"{number}-{kind}")
        cpu_s[kind] = time.process_time() - began
    metric = experiment.domain.selection
    return Entry(number, params, metric.name, metric.direction, curves, cpu_s)


def _origin(trial: Path) -> Origin | None:
    """The trial's last state; a sick one that left none is begun again."""
    found, _ = checkpoint.latest(trial)
    return None if found is None else Origin(str(found.path), found.step, found.digest)


def _curve(experiment: Experiment, spec: RunSpec, folder: Path) -> Curve:
    """The curve of one training, whatever ends it."""
    metric = experiment.domain.selection.name
    points: list[Point] = []

    def note(found: Validation) -> None:
        points.append(Point(found.step, found.metrics[metric], found.extra["noise_floor"], found.healthy))

    context = FitContext(spec, experiment.domain, folder, Workers(pick_device("cpu")), None, note)
    chosen = math.nan
    try:
        with patch.object(loop, "SEARCH_CHECKPOINT_S", 0.0):
            best = loop.fit(context).best
            chosen = best.value if best else math.nan
    except StoppedByHealth:
        pass
    return Curve(spec.steps, tuple(points), chosen)
