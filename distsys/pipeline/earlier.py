"""What an earlier search of the same space found, for a search that begins knowing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsys.config.layers import leaves
from distsys.config.space import SearchSpace
from distsys.config.validate import dump
from distsys.config.yaml_file import read_yaml
from distsys.console import Console
from distsys.errors import UsageError
from distsys.files import number_or_nan, read_json, write_json
from distsys.health.verdict import Verdict, is_sick
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.on_disk import has_begun, trials_on_disk
from distsys.tracking.spool import ARTIFACTS

if TYPE_CHECKING:
    from distsys.cluster.rows import TrialOnDisk

FILE = "earlier.json"
_SHOWN = 6
"""Keys that are named at most."""


def take_earlier(experiment: Experiment, place: Path, console: Console) -> None:
    """Have the search begin with what the trials of the experiment in ``place`` found.

    It is written into the experiment's folder, where a search that goes on finds it; the lock must be held.

    Raises:
        UsageError: there is no search of this space, or this experiment's own began without it.
    """
    path = experiment.folder / FILE
    if has_begun(experiment):
        if not path.is_file() or read_json(path, dict, fix=_FIX).get("experiment") != place.name:
            raise UsageError(
                f"--from {place}: the search in {experiment.folder} has begun without it",
                expected="a search that is still to begin",
                fix="leave out --from to go on, or give another --out or --seed",
            )
        return
    found = _trials_in(experiment, place, console)
    write_json(path, {"experiment": place.name, "trials": [_content(item) for item in found]})
    _say(experiment, found, place, console)


_FIX = "remove it: the search goes on without what was known before"


def read_earlier(experiment: Experiment) -> list[TrialOnDisk]:
    """What the search began with; empty where it began with nothing.

    Raises:
        DamagedFile: that is torn.
    """
    path = experiment.folder / FILE
    return read_json(path, lambda content: list(map(_read, content["trials"])), fix=_FIX) if path.is_file() else []


def _trials_in(experiment: Experiment, place: Path, console: Console) -> list[TrialOnDisk]:
    config = _config_of(place)
    if not config.is_file():
        what = "is no experiment" if place.exists() else "there is no such folder"
        raise UsageError(f"--from {place}: {what}", expected="the folder of an experiment that has searched")
    domain = read_yaml(config)[0].get("domain")
    if domain != experiment.domain.name:
        raise UsageError(f"--from {place}: is of the domain {domain}", expected=f"one of {experiment.domain.name}")
    ended = [item for item in trials_on_disk(experiment, console, place=place / "trials") if item.has_ended]
    fitting = [item for item in ended if _fits(item.params, experiment.space)]
    if not fitting:
        names = ", ".join(experiment.space.dimensions)
        raise UsageError(
            f"--from {place}: none of its ended trials lies in this search space",
            expected=f"trials that differ in {names}, within the ranges searched here",
            fix="name an experiment of the same space, or leave out --from",
        )
    return fitting


def _config_of(place: Path) -> Path:
    return place / ARTIFACTS / "config.yaml"


def _fits(params: Mapping[str, Any], space: SearchSpace) -> bool:
    return all(item.holds(params[path]) for path, item in space.dimensions.items())


def _say(experiment: Experiment, found: list[TrialOnDisk], place: Path, console: Console) -> None:
    theirs, ours = (dict(leaves(content)) for content in (read_yaml(_config_of(place))[0], dump(experiment.config)))
    other = [f"{name} {theirs[name]} -> {ours[name]}" for name in ours if name in theirs and theirs[name] != ours[name]]
    more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
    but = f"; its trials had other values: {', '.join(other[:_SHOWN])}{more}" if other else ""
    best = best_of(found, direction=experiment.domain.selection.direction)
    metric = experiment.domain.selection
    value = f", the best of them with {metric.name} {best.value:.4g} {metric.unit}" if best else ""
    console.say(f"search: begins with what {len(found)} trials of {place.name} found{value}{but}")


def best_of(found: list[TrialOnDisk], *, direction: str) -> TrialOnDisk | None:
    """The best healthy one that ran to its end."""
    sign = -1.0 if direction == "max" else 1.0
    whole = [item for item in found if item.state == "complete" and not is_sick(item.verdicts)]
    return min(whole, key=lambda item: sign * item.value, default=None)


def _content(item: TrialOnDisk) -> dict[str, Any]:
    readings = [[step, value] for step, value in item.readings.items()]
    return {**asdict(item), "readings": readings, "verdicts": [verdict.content() for verdict in item.verdicts]}


def _read(content: Mapping[str, Any]) -> TrialOnDisk:
    from distsys.cluster.rows import TrialOnDisk

    readings = {step: number_or_nan(value) for step, value in content["readings"]}
    verdicts, value = Verdict.read_all(content["verdicts"]), number_or_nan(content["value"])
    return TrialOnDisk(**{**content, "readings": readings, "verdicts": verdicts, "value": value})
