"""A healthy model of an experiment into MLflow's registry."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from distsys.errors import StoppedByHealth
from distsys.health.verdict import Verdict
from distsys.tracking.registry import Model, Registered, register
from distsys.tracking.spool import RUN_FILE
from distsys.training.assess import Loaded, known_verdicts

_PACKAGES = ("distsys", "torch", "numpy")


def registered(loaded: Loaded, *, name: str | None) -> Registered:
    """A new version of the model ``name``, or of the one of its domain's name, in the store that tracks its run.

    Raises:
        StoppedByHealth: the model is sick.
        RunFailed: the store is away.
    """
    checkpoint, domain = loaded.source.path, loaded.domain
    verdicts = known_verdicts(checkpoint)
    _require_healthy(checkpoint, [item for item in verdicts if item.status == "stop"])
    run = checkpoint.parents[1]
    experiment = _experiment_of(run)
    tags = {
        "domain": domain.name,
        "experiment": experiment.name,
        "step": str(loaded.source.step),
        "health": "doubtful" if verdicts else "healthy",
        "checkpoint": loaded.source.digest,
    }
    model = Model(
        name=name or domain.name,
        checkpoint=checkpoint,
        request=domain.request.model_json_schema(),
        tags=tags,
        requirements=[f"{package}=={version(package).split('+')[0]}" for package in _PACKAGES],
    )
    return register(experiment.parent, run, model, experiment=experiment.name)


def _experiment_of(run: Path) -> Path:
    """The folder of the experiment of a run: that of a single training is its own."""
    return run.parents[1] if (run.parents[1] / RUN_FILE).is_file() else run


def _require_healthy(checkpoint: Path, stops: list[Verdict]) -> None:
    if stops:
        raise StoppedByHealth(
            f"{checkpoint}: a sick model is not registered: {stops[0]}",
            fix="'distsys doctor --run' says more; register a healthy one",
            verdicts=stops,
        )
