"""Whether an experiment that goes on is judged on the data, and made by the code, that it began with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from distsys.console import Console
from distsys.errors import DamagedFile, DataError
from distsys.files import read_json, write_json
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.on_disk import trials_folder
from distsys.tracking.spool import RUN_FILE, read_record

_DIGEST = "_digest"
_CODE = ("distsys.code", "env.distsys", "code.commit")
"""Tags that tell one version of the code from another: the domain's own source, the release, the commit."""
_SHOWN = 8


def require_same_data(experiment: Experiment, tags: Mapping[str, str], *, allowed: bool, console: Console) -> None:
    """The frozen sets of an experiment with trials are those that its record names; other code is said.

    Args:
        tags: of today.
        allowed: go on with other data, which are those of the record from now on.

    Raises:
        DataError: they are others.
    """
    path = experiment.folder / RUN_FILE
    try:
        known = read_record(experiment.folder).tags if path.is_file() else {}
    except DamagedFile:
        known = {}  # it is written anew
    has_trials = any(trials_folder(experiment).glob("*"))
    changed = {
        name.removeprefix("data.").removesuffix(_DIGEST): (known[name], tags[name])
        for name in known
        if name.endswith(_DIGEST) and name in tags and known[name] != tags[name]
    }
    if not has_trials:
        if changed:  # what is mended before the first trial begins
            path.unlink()
        return
    _say_code(known, tags, console)
    if changed and not allowed:
        raise _other_data(experiment, changed)
    if changed:
        _note(path, tags, changed)
        console.say(f"WARNING: goes on with other data than its trials had: {_told(changed)}")


def _say_code(known: Mapping[str, str], tags: Mapping[str, str], console: Console) -> None:
    texts = [
        f"{name} {known[name][:_SHOWN]} -> {tags[name][:_SHOWN]}"
        for name in _CODE
        if name in known and name in tags and known[name] != tags[name]
    ]
    if texts:
        console.say(f"the experiment was begun by other code: {', '.join(texts)}")


def _other_data(experiment: Experiment, changed: Mapping[str, tuple[str, str]]) -> DataError:
    return DataError(
        f"{experiment.folder}: the data changed since its trials began: {_told(changed)}",
        expected="the frozen sets that its trials were judged on, else their ranking says nothing of these",
        fix="bring the former data back; or begin anew with another --out; or go on with --allow-changed-data, by the "
        "ranking that the former data gave",
    )


def _told(changed: Mapping[str, tuple[str, str]]) -> str:
    return ", ".join(f"{name} set {then[:_SHOWN]} -> {now[:_SHOWN]}" for name, (then, now) in changed.items())


def _note(path: Path, tags: Mapping[str, str], changed: Mapping[str, tuple[str, str]]) -> None:
    """The record names the new sets, and beside them the former ones."""
    stored = read_json(path, dict, fix="")
    now = {f"data.{name}{_DIGEST}": tags[f"data.{name}{_DIGEST}"] for name in changed}
    before = {f"data.{name}{_DIGEST}.before": then for name, (then, _) in changed.items()}
    write_json(path, {**stored, "tags": {**stored["tags"], **now, **before}})
