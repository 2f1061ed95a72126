"""Another run's weights to start from: found in its folder, loaded as they were, and what to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distsys.config.layers import leaves
from distsys.config.schema import CoreConfig
from distsys.config.validate import dump
from distsys.domains.protocol import AnyDomain, DataBundle
from distsys.errors import CheckpointError, StoppedByHealth, UsageError
from distsys.health.causes import STALE_MOMENTS
from distsys.training import checkpoint
from distsys.training.assess import ANY_METRIC, known_verdicts
from distsys.training.checkpoint import Checkpoint, directory_of
from distsys.training.data import changed_sets
from distsys.training.evaluated import Evaluated
from distsys.training.outcome import Outcome
from distsys.training.selection import Selection
from distsys.training.spec import Origin
from distsys.training.stamp import code_stamp

_PLACES = "a checkpoint, or the folder of a run or an experiment that has one"


def find_origin(place: Path) -> tuple[Checkpoint, list[str]]:
    """The checkpoint that ``place`` is, or the last healthy one of the run or experiment in it, and what it lacks.

    Raises:
        UsageError: there is none, or it is not clear of which run.
        CheckpointError: it is damaged.
        StoppedByHealth: none is healthy.
    """
    if not place.is_dir():
        what = "is a file" if place.is_file() else "there is no such folder"
        raise UsageError(f"--from {place}: {what}", expected=_PLACES)
    if any((place / name).is_file() for name in ("manifest.json", "meta.json", "model.pt")):
        return checkpoint.load(place), []
    return _last_healthy(_run_in(place))


def _run_in(place: Path) -> Path:
    """``place``, or its final training; of several the one that its evaluation is of."""
    if any((place / "checkpoints").glob("step-*")):
        return place
    runs = sorted({path.parents[1] for path in place.glob("final/*/checkpoints/step-*")})
    if len(runs) > 1 and (known := Evaluated.read(place)) is not None:
        runs = [run for run in runs if run == known.run] or runs
    if len(runs) == 1:
        return runs[0]
    raise UsageError(
        f"--from {place}: {len(runs)} final trainings with a checkpoint in it",
        expected=_PLACES,
        fix=f"name one of them: {', '.join(map(str, runs))}" if runs else "name another folder",
    )


def _last_healthy(run: Path) -> tuple[Checkpoint, list[str]]:
    selection = _selection_of(run)
    complaints: list[str] = []
    healthy = [item.step for item in (selection.best, *selection.former) if item is not None]
    for step in sorted({*healthy, selection.last_healthy_step or 0} - {0}, reverse=True):
        try:
            return checkpoint.load(directory_of(run, step)), complaints
        except CheckpointError as error:
            complaints.append(f"left out a damaged checkpoint: {error.found}")
    raise _none_healthy(run, selection, complaints)


def _selection_of(run: Path) -> Selection:
    """What a run chose, or has chosen so far."""
    if (outcome := Outcome.read(run, ANY_METRIC)) is not None:
        return outcome.selection
    selection, latest = Selection(ANY_METRIC), checkpoint.latest(run)[0]
    assert latest is not None, "a run is found by its checkpoints"
    selection.load(latest.meta["selection"])
    return selection


def _none_healthy(run: Path, selection: Selection, complaints: Sequence[str]) -> StoppedByHealth:
    nearest = selection.nearest
    verdicts = tuple(nearest.verdicts) if nearest else ()
    named = directory_of(run, nearest.step) if nearest else f"{run / 'checkpoints'}/..."
    return StoppedByHealth(
        "\n".join([f"--from {run}: no checkpoint is healthy", *complaints, *map(str, verdicts)]),
        expected="a healthy one; a sick one is taken, with a warning, where it is named itself",
        fix=f"what the verdicts name, or --from {named}",
        verdicts=verdicts,
    )


def load_origin(origin: Origin) -> Checkpoint:
    """The checkpoint that a run was told to start from.

    Raises:
        CheckpointError: it is missing, damaged, or another one by now.
    """
    source = checkpoint.load(Path(origin.path))
    if source.digest != origin.sha256:
        raise CheckpointError(
            f"{origin.path}: is another checkpoint than when this run was started",
            expected=f"a manifest with sha256 {origin.sha256[:12]}...",
            fix="repeat the command when the run that writes it has ended",
        )
    return source


ABSENT = "(absent)"


def changed_keys(source: Checkpoint, config: CoreConfig) -> dict[str, tuple[Any, Any]]:
    """Every key of ``config`` that the run had another value of: that one and this one, or ``ABSENT``."""
    theirs, ours = dict(leaves(source.meta["config"])), dict(leaves(dump(config)))
    names = [*ours, *(name for name in theirs if name not in ours)]
    pairs = {name: (theirs.get(name, ABSENT), ours.get(name, ABSENT)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def doubts(source: Checkpoint, origin: Origin, domain: AnyDomain, data: DataBundle) -> list[str]:
    """What a person should know before weights are used all the same."""
    found = [
        f"the checkpoint is {'sick' if item.status == 'stop' else 'doubtful'}: {item}"
        for item in known_verdicts(source.path)
    ]
    if changed := changed_sets(source.meta, data):
        sets = f"the {' and '.join(changed)} set changed"
        found.append(f"other data than there: {sets}, what is tested on may have been trained on")
    if has_other_code(source, domain) and not origin.reset_optimizer:
        found.append(
            f"the domain's code changed since ({STALE_MOMENTS.name}, if its loss did): --reset-optimizer starts with "
            "fresh ones"
        )
    return found


def has_other_code(source: Checkpoint, domain: AnyDomain) -> bool:
    """Whether the domain's code is another one than when the checkpoint was made."""
    return bool(source.meta.get("code", code_stamp(domain)) != code_stamp(domain))
