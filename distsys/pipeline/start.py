"""Starting from another run's weights: what is refused, and what is said before the training begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from distsys.console import Console
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.means import Means
from distsys.training.data import built_data
from distsys.training.meaning import require_same_domain, require_same_meaning
from distsys.training.origin import changed_keys, doubts, find_origin, load_origin
from distsys.training.spec import Origin, RunSpec


def started_from(experiment: Experiment, place: Path, *, reset_optimizer: bool, console: Console) -> Experiment:
    """The experiment whose final training starts from the weights in ``place``, an absolute path.

    Raises:
        UsageError: there is no checkpoint, or one of another domain.
        CheckpointError: it is damaged.
        StoppedByHealth: a run was named, and nothing in it is healthy.
    """
    source, complaints = find_origin(place)
    for text in complaints:
        console.say(f"WARNING: {text}")
    require_same_domain(source, experiment.domain)
    return replace(experiment, origin=Origin(str(source.path), source.step, source.digest, reset_optimizer))


def say_origin(spec: RunSpec, experiment: Experiment, means: Means, *, label: str) -> None:
    """Which weights the training starts from, what else is different, and what speaks against it.

    Raises:
        CheckpointError: they mean something else here.
    """
    if spec.origin is None:
        return
    source, data = load_origin(spec.origin), built_data(experiment.domain, spec.config)
    require_same_meaning(source, spec, experiment.domain, data)
    changed = [f"{name} {then} -> {now}" for name, (then, now) in changed_keys(source, spec.config).items()]
    other = f"other than there: {', '.join(changed)}" if changed else "the config is the same"
    means.console.say(f"{label}: starts from step {source.step} of {source.path}; {other}")
    for text in doubts(source, spec.origin, experiment.domain, data):
        means.console.say(f"{label}: WARNING: {text}")
