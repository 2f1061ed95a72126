"""What the command line does, for Python: ``import distsys; distsys.run("semantic_eq", preset="demo")``.

Everything takes the names that commands take and gives plain objects; those with a table have ``to_pandas()``. Errors
are the commands' own: a :class:`~distsys.errors.DistsysError` says what was found, what was expected, what to change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distsys.console import Console
from distsys.domains.protocol import Prediction
from distsys.domains.requests import read_request
from distsys.errors import UsageError
from distsys.pipeline import run as phases
from distsys.pipeline.compare import Comparison, compared
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.experiment import load_experiment as experiment_of
from distsys.pipeline.extend import extended
from distsys.pipeline.means import Means
from distsys.pipeline.reopened import reopened
from distsys.pipeline.run import RunResult
from distsys.pipeline.search import SearchResult
from distsys.storage.connect import is_uri
from distsys.storage.store import local_copy, local_of, open_place
from distsys.training.assess import Assessment, Loaded, assess, find_checkpoint, load_model
from distsys.training.team import Team


def load_experiment(
    config: str | Path,
    *,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    space: str | Path | None = None,
    out: str | Path = "runs",
) -> Experiment:
    """The experiment of a config (a YAML file or the name of a shipped one), or of the folder of one that was run.

    Args:
        settings: dotted config path to value, as ``--set`` takes them; ``{"search.trials": 4}``.
        space: search space; the domain's own when absent.
        out: folder for everything that is written; object stores are for the command line.

    Raises:
        ConfigError: with every problem of the config or of the search space.
        UsageError: the folder is no experiment's, or ``out`` is no folder.
    """
    if is_uri(str(out)):
        raise UsageError(f"out = {out}", expected="a folder", fix=f"distsys run ... --out {out} keeps it in the store")
    if Path(config).is_dir():
        if preset or settings or space:
            raise UsageError(f"{config} with a preset, settings or a space", expected="a folder alone: it has its own")
        return reopened(Path(config))
    overrides = [f"{name}={_as_yaml(value)}" for name, value in (settings or {}).items()]
    return experiment_of(
        str(config), root=local_of(out), preset=preset, overrides=overrides, space=Path(space) if space else None
    )


def run(
    experiment: Experiment | str | Path, *, local: bool = False, workers: int = 1, quiet: bool = False, **given: Any
) -> RunResult:
    """Search, handoff, final training, evaluation and report; what is done already is not done again.

    Args:
        experiment: or what :func:`load_experiment` takes, with its arguments in ``given``.
        local: in this process, without Ray and MLflow.
        workers: of the final training.

    Raises:
        DistsysError: config or data are wrong, or nothing could be trained. A model that was found sick is no error:
            ``assessment.is_sick`` says so.
    """
    found = _loaded(experiment, given)
    return phases.run(found, _means(found, local=local, workers=workers, quiet=quiet))


def search(
    experiment: Experiment | str | Path, *, local: bool = False, quiet: bool = False, **given: Any
) -> SearchResult:
    """The search alone; arguments as for :func:`run`.

    Raises:
        StoppedByHealth: no trial ended healthy.
    """
    found = _loaded(experiment, given)
    return phases.search(found, _means(found, local=local, workers=1, quiet=quiet))


def final(
    experiment: Experiment | str | Path, *, local: bool = False, workers: int = 1, quiet: bool = False, **given: Any
) -> RunResult:
    """Handoff and final training after a search; arguments as for :func:`run`.

    Raises:
        UsageError: its search has not ended.
    """
    found = _loaded(experiment, given)
    return phases.final(found, _means(found, local=local, workers=workers, quiet=quiet))


def extend(
    experiment: Experiment | str | Path,
    *,
    trials: int | None = None,
    steps: int | None = None,
    local: bool = False,
    workers: int = 1,
    quiet: bool = False,
) -> RunResult:
    """More of an experiment that is there, and what follows from it.

    Args:
        trials: so many more, or
        steps: so many more steps of the final training, from its checkpoint.

    Raises:
        UsageError: neither is given, or both; or it has no checkpoint to go on from.
    """
    found = _loaded(experiment, {})
    return extended(found, _means(found, local=local, workers=workers, quiet=quiet), trials=trials, steps=steps)


def evaluate(place: str | Path) -> Assessment:
    """A finished training on its test set, beside every baseline.

    Args:
        place: folder or URI of an experiment, a run or a checkpoint.

    Raises:
        UsageError: there is no checkpoint, or several to choose from.
        StoppedByHealth: none is healthy.
    """
    return assess(find_checkpoint(local_copy(place)))


def predict(place: str | Path, **request: Any) -> Prediction:
    """Ask a trained model; ``distsys predict DOMAIN --help`` lists what can be asked.

    Args:
        place: as for :func:`evaluate`.
        request: the domain's options, with _ for -, and ``from_`` for --from.
    """
    return ask(load_model(find_checkpoint(local_copy(place))), request)


def ask(loaded: Loaded, request: Mapping[str, Any]) -> Prediction:
    """The same of a model that is loaded already.

    Raises:
        UsageError: the request does not fit the model's domain.
    """
    known = loaded.domain.request.model_fields
    if unknown := sorted(set(request) - set(known)):
        raise UsageError(f"{loaded.domain.name} is not asked for {', '.join(unknown)}", expected=", ".join(known))
    as_is = (str, Path, list, tuple)
    values = {name: value if isinstance(value, as_is) else _as_yaml(value) for name, value in request.items()}
    return loaded.domain.predict(loaded.model, read_request(loaded.domain, values))


def compare(*places: str | Path) -> Comparison:
    """Trained models of one domain side by side; the first is what the others are held against.

    Raises:
        UsageError: there is nothing to compare, or it cannot be.
    """
    return compared([local_copy(place) for place in places])


def _loaded(experiment: Experiment | str | Path, given: Mapping[str, Any]) -> Experiment:
    if isinstance(experiment, Experiment):
        if given:
            raise UsageError(f"{', '.join(given)} beside an experiment", expected="them in load_experiment")
        return experiment
    return load_experiment(experiment, **given)


def _means(experiment: Experiment, *, local: bool, workers: int, quiet: bool) -> Means:
    if local and workers > 1:
        raise UsageError(f"local with {workers} workers", expected="one worker in this process")
    return Means(Console(quiet=quiet), team=Team(workers, workers), is_local=local, place=open_place(experiment.root))


def _as_yaml(value: Any) -> str:
    return json.dumps(value, default=str)
