"""Checkpoints: directories that appear whole or not at all, hashed, and loaded without running code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from distsys.errors import CheckpointError, DamagedFile, DiskFull
from distsys.files import full_disk_named, read_json, sync, sync_folder

FORMAT = 1
_MANIFEST, _META, _MODEL, _TRAINING = "manifest.json", "meta.json", "model.pt", "training.pt"
_FILES = (_META, _MODEL, _TRAINING)
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory.

    Args:
        path: its directory.
        meta: step, config, phase, health stamp, selection state, text statistics.
        model: weights of the model that was evaluated (the averaged ones where averaging is on).
        statistics: what the model remembers of its training data.
    """

    path: Path
    meta: Mapping[str, Any]
    model: Mapping[str, torch.Tensor]
    statistics: Mapping[str, Any]

    @property
    def step(self) -> int:
        return int(self.meta["step"])

    @property
    def digest(self) -> str:
        """The sha256 of its manifest, which names those of all its files."""
        return _sha256(self.path / _MANIFEST)

    def training_state(self) -> Mapping[str, Any]:
        """Raw weights, optimiser and scheduler, as needed to go on."""
        return _load_tensors(self.path / _TRAINING)


def directory_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of ``step`` stands below a run's ``folder``."""
    return folder / "checkpoints" / f"step-{step:08d}"


def save(
    folder: Path,
    *,
    meta: Mapping[str, Any],
    model: Mapping[str, torch.Tensor],
    training: Mapping[str, Any],
    statistics: Mapping[str, Any],
) -> Path:
    """Write a checkpoint below ``folder`` and return its directory.

    Raises:
        DiskFull: there is no space.
        CheckpointError: the disk refuses otherwise; nothing half-written is left under the final name, either way.
    """
    target = directory_of(folder, meta["step"])
    partial, aside = (target.with_name(f".{target.name}.{word}") for word in ("partial", "aside"))
    content: dict[str, Mapping[str, Any]] = {
        _MODEL: {"model": dict(model), "statistics": dict(statistics)},
        _TRAINING: dict(training),
        _META: {"format": FORMAT, **meta},
    }
    try:
        with full_disk_named(target):
            _write_all(partial, content)
            if target.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
                os.replace(target, aside)
            os.replace(partial, target)
        sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)
    except DiskFull:
        _withdraw(partial, folder)
        raise
    except OSError as error:
        _withdraw(partial, folder)
        raise CheckpointError(
            f"{target}: cannot be written ({error.strerror})",
            fix="let this user write there or choose another --out, then repeat the command",
        ) from error
    return target


def _write_all(partial: Path, content: Mapping[str, Mapping[str, Any]]) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, values in content.items():
        (_write_json if name == _META else _write)(partial / name, values)
    _write_json(partial / _MANIFEST, {path.name: _sha256(path) for path in sorted(partial.iterdir())})


def _withdraw(partial: Path, folder: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    _put_back(folder)


def load(path: Path, *, identity: str | None = None) -> Checkpoint:
    """The checkpoint in directory ``path``, every file checked against its hash.

    Args:
        identity: of the run that it must be of; None takes that of any.

    Raises:
        CheckpointError: it is missing, damaged, of another format or of another run.
    """
    _verify(path)
    meta = read_meta(path)
    if identity not in (None, meta.get("identity")):
        found = str(meta.get("identity"))
        raise CheckpointError(
            f"{path}: is of another run, {found[:8]}",
            expected=f"one of this run, {identity[:8] if identity else ''}",
            fix=_fix(path),
        )
    content = _load_tensors(path / _MODEL)
    if missing := [name for name in ("model", "statistics") if name not in content]:
        raise CheckpointError(f"{path / _MODEL}: holds no {' and no '.join(missing)}", fix=_fix(path))
    return Checkpoint(path, meta, content["model"], content["statistics"])


def read_meta(path: Path) -> Mapping[str, Any]:
    """What is said of the checkpoint in ``path``, without a look at its tensors.

    Raises:
        CheckpointError: it is damaged, or of another format.
    """
    try:
        meta = read_json(path / _META, dict, fix=_fix(path))
    except DamagedFile as error:
        raise CheckpointError(error.found, expected=error.expected, fix=error.fix) from error
    if meta.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {meta.get('format')}", expected=f"format {FORMAT}", fix=_fix(path))
    named = _NAME.fullmatch(path.name)
    if not isinstance(meta.get("step"), int) or (named and int(named[1]) != meta["step"]):
        raise CheckpointError(f"{path / _META}: is of step {meta.get('step')}", expected=path.name, fix=_fix(path))
    return meta


def latest(folder: Path, *, identity: str | None = None) -> tuple[Checkpoint | None, list[str]]:
    """The newest intact checkpoint below a run's ``folder``, and what was wrong with newer ones.

    Args:
        identity: of the run.

    Raises:
        CheckpointError: there are checkpoints and none is intact; a run never restarts silently.
    """
    _put_back(folder)
    complaints: list[str] = []
    found = sorted((folder / "checkpoints").glob("step-*"), reverse=True)
    for path in found:
        try:
            return load(path, identity=identity), complaints
        except CheckpointError as error:
            complaints.append(error.found)
    if found:
        raise CheckpointError(
            f"no intact checkpoint in {folder / 'checkpoints'}: {'; '.join(complaints)}",
            expected="at least one that matches its manifest",
            fix=f"delete {folder} to start this run again",
        )
    return None, complaints


def _fix(path: Path) -> str:
    """What to do about a checkpoint that cannot be used: another one of its run, or the run again."""
    if _NAME.fullmatch(path.name) is None:
        return "name another checkpoint"
    others = [other.name for other in sorted(path.parent.glob("step-*"), reverse=True) if other != path]
    instead = f"name another one of {path.parent} ({', '.join(others)}), or " if others else ""
    return f"{instead}delete {path.parents[1]} and repeat the command that made it: that run is trained again"


def _put_back(folder: Path) -> None:
    """What was moved aside for a newer one that a crash kept from taking its place."""
    for aside in (folder / "checkpoints").glob(".step-*.aside"):
        target = aside.with_name(aside.name.removeprefix(".").removesuffix(".aside"))
        with suppress(OSError):  # another worker was faster
            shutil.rmtree(aside) if target.is_dir() else os.replace(aside, target)


def keep_only(folder: Path, steps: Iterable[int]) -> None:
    """Delete every checkpoint of a run but those of ``steps``."""
    wanted = {directory_of(folder, step) for step in steps}
    for path in (folder / "checkpoints").glob("step-*"):
        if path not in wanted:
            gone = path.with_name(f".{path.name}.partial")  # a kill leaves no half of one under its name
            shutil.rmtree(gone, ignore_errors=True)
            with suppress(OSError):  # another worker was faster
                os.replace(path, gone)
            shutil.rmtree(gone, ignore_errors=True)


def _verify(path: Path) -> None:
    try:
        manifest = read_json(path / _MANIFEST, dict, fix="")
    except DamagedFile as error:
        raise CheckpointError(
            f"{path}: no readable {_MANIFEST}: {error.found}", expected="a checkpoint directory", fix=_fix(path)
        ) from error
    if missing := [name for name in _FILES if name not in manifest]:
        raise CheckpointError(
            f"{path / _MANIFEST}: does not name {', '.join(missing)}",
            expected="the sha256 of every file of the checkpoint",
            fix=_fix(path),
        )
    for name, expected in manifest.items():
        file = path / name
        if not file.is_file() or _sha256(file) != expected:
            raise CheckpointError(
                f"{file}: does not match its hash", expected=f"sha256 {str(expected)[:12]}...", fix=_fix(path)
            )


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:  # of torch's zip writer, which the stream has left half-written
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise
        stream.flush()
        sync(stream.fileno())


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
        stream.flush()
        sync(stream.fileno())


def _load_tensors(path: Path) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: holds more than tensors and plain values, and is not loaded") from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}", fix=_fix(path.parent)) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}", expected="named tensors")
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
