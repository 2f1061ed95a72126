"""What the folders of a search's trials tell, for a study that a crash left behind them or that is damaged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsys.config.layers import leaves
from distsys.console import Console
from distsys.domains.protocol import MetricSpec, effective_constraints
from distsys.errors import DamagedFile, RunFailed
from distsys.pipeline.experiment import Experiment
from distsys.tracking.spool import RUN_FILE, Spool, read_metrics, read_record, read_start_ms, read_status
from distsys.training.outcome import Outcome
from distsys.training.spec import RunSpec
from distsys.training.trials import NO_VALIDATION

if TYPE_CHECKING:
    from distsys.cluster.rows import TrialOnDisk

STUDY = "study.log"
_NAME = re.compile(r"(\d{4,})-\w+")
_TOLD = ("pruned", "failed")
"""Ends of which a trial's status is all that is left."""


def has_begun(experiment: Experiment) -> bool:
    """Whether there is a search to go on with."""
    return (experiment.folder / STUDY).is_file() or any(trials_folder(experiment).glob("*"))


def trials_folder(experiment: Experiment) -> Path:
    """Where the search's trials are."""
    return experiment.folder / "trials"


def trials_on_disk(experiment: Experiment, console: Console, *, place: Path | None = None) -> list[TrialOnDisk]:
    """Every trial that has a folder, in the order asked; of two with one number that which ended, or the later one.

    Args:
        place: the folder of the trials, where they are another experiment's; nothing in it is touched.
    """
    found: dict[int, tuple[tuple[bool, int], TrialOnDisk]] = {}
    for number, folder in _folders(place or trials_folder(experiment)):
        outcome = settled(folder, experiment.domain.selection, console) if place is None else _seen(experiment, folder)
        trial = _read(experiment, number, folder, outcome)
        if trial is None:
            continue
        rank = (trial.has_ended, _start_ms(folder))
        if number not in found or rank > found[number][0]:
            found[number] = (rank, trial)
    return [found[number][1] for number in sorted(found)]


def settled(folder: Path, metric: MetricSpec, console: Console) -> Outcome | None:
    """The outcome of a trial or candidate, whose status says so too, also where its process died before it could.

    None where it has not ended; a torn outcome is set aside.
    """
    outcome = Outcome.read_or_rebuild(folder, metric, say=console.say)
    if outcome is not None and outcome.choice is not None and is_unsettled(folder):
        with suppress(DamagedFile):  # of its metrics, which whoever needs them names
            Spool(folder).finish("finished", verdicts=outcome.verdicts)
    return outcome


def _seen(experiment: Experiment, folder: Path) -> Outcome | None:
    """The outcome of a trial of another experiment, as it lies there; None where it has none, or a torn one."""
    with suppress(DamagedFile):
        return Outcome.read(folder, experiment.domain.selection)
    return None


def is_unsettled(folder: Path) -> bool:
    """Whether the status of a run that ended does not say how, or is torn."""
    try:
        return read_status(folder).status in ("running", "interrupted")
    except DamagedFile:
        return True


def _folders(place: Path) -> Iterator[tuple[int, Path]]:
    for folder in sorted(place.glob("*")):
        if named := _NAME.fullmatch(folder.name):
            yield int(named[1]), folder


def _start_ms(folder: Path) -> int:
    with suppress(DamagedFile):
        return read_start_ms(folder)
    return 0


def _read(experiment: Experiment, number: int, folder: Path, outcome: Outcome | None) -> TrialOnDisk | None:
    """The trial in ``folder``; None where it had not begun, or where nothing tells its parameters."""
    from distsys.cluster.rows import TrialOnDisk

    metric = experiment.domain.selection
    params = _params(experiment, folder, outcome)
    if params is None:
        return None
    readings = _readings(folder, metric.name)
    if outcome is not None:
        before = {step: value for step, value in readings.items() if step < max(readings)}
        if (result := result_of(experiment, outcome)) is None:
            return TrialOnDisk(number, params, "failed", readings=readings, verdicts=(NO_VALIDATION,))
        return TrialOnDisk(number, params, "complete", readings=before, **result)
    with suppress(DamagedFile):
        status = read_status(folder)
        if status.status in _TOLD:
            return TrialOnDisk(number, params, status.status, readings=readings, verdicts=status.verdicts)
    return TrialOnDisk(number, params, "running")


def result_of(experiment: Experiment, outcome: Outcome) -> dict[str, Any] | None:
    """What a study is told of a trial that ran to its end; None where it was never validated."""
    if (choice := outcome.choice) is None:
        return None
    bands = effective_constraints(experiment.domain, RunSpec(experiment.config, "search").bands())
    violations = {item.metric: item.violation(choice.metrics[item.metric]) for item in bands}
    return {"value": choice.value, "violations": violations, "verdicts": outcome.verdicts}


def _params(experiment: Experiment, folder: Path, outcome: Outcome | None) -> Mapping[str, Any] | None:
    """What was searched: by the trial's record or, where that is damaged, by the config that it ended with."""
    names = experiment.space.dimensions
    found: Mapping[str, Any] = {}
    if (folder / RUN_FILE).is_file():
        with suppress(DamagedFile):
            found = read_record(folder).params
    if not found and outcome is not None:
        found = {name: _number(value) for name, value in leaves(outcome.spec["config"])}
    return {name: found[name] for name in names} if all(name in found for name in names) else None


def _number(value: Any) -> Any:
    """A weight that was given as a number stands in a config as the end of a schedule."""
    return value["to"] if isinstance(value, Mapping) and "to" in value else value


def _readings(folder: Path, metric: str) -> dict[int, float]:
    with suppress(RunFailed, KeyError):  # where they are damaged, whoever needs them says so
        return {line.step: line.metrics[metric] for line in read_metrics(folder)}
    return {}
