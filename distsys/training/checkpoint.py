"""Checkpoints: directories that appear whole or not at all, hashed, and loaded without running code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from distsys.errors import CheckpointError
from distsys.files import sync, sync_folder

FORMAT = 1
_MANIFEST = "manifest.json"


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
        return _load_tensors(self.path / "training.pt")


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
        CheckpointError: the disk refuses; nothing half-written is left under the final name.
    """
    target = directory_of(folder, meta["step"])
    partial, aside = (target.with_name(f".{target.name}.{word}") for word in ("partial", "aside"))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(partial / "model.pt", {"model": dict(model), "statistics": dict(statistics)})
        _write(partial / "training.pt", dict(training))
        _write_json(partial / "meta.json", {"format": FORMAT, **meta})
        _write_json(partial / _MANIFEST, {path.name: _sha256(path) for path in sorted(partial.iterdir())})
        if target.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(target, aside)
        os.replace(partial, target)
        sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        _put_back(folder)
        raise CheckpointError(
            f"{target}: cannot be written ({error.strerror})",
            fix="free space or choose another --out, then repeat the command",
        ) from error
    return target


def load(path: Path) -> Checkpoint:
    """The checkpoint in directory ``path``, every file checked against its hash.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    _verify(path)
    meta = json.loads((path / "meta.json").read_text())
    if meta.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {meta.get('format')}", expected=f"format {FORMAT}")
    content = _load_tensors(path / "model.pt")
    return Checkpoint(path, meta, content["model"], content["statistics"])


def latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest intact checkpoint below a run's ``folder``, and what was wrong with newer ones.

    Raises:
        CheckpointError: there are checkpoints and none is intact; a run never restarts silently.
    """
    _put_back(folder)
    complaints: list[str] = []
    found = sorted((folder / "checkpoints").glob("step-*"), reverse=True)
    for path in found:
        try:
            return load(path), complaints
        except CheckpointError as error:
            complaints.append(error.found)
    if found:
        raise CheckpointError(
            f"no intact checkpoint in {folder / 'checkpoints'}: {'; '.join(complaints)}",
            expected="at least one that matches its manifest",
            fix=f"delete {folder} to start this run again",
        )
    return None, complaints


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
            shutil.rmtree(path, ignore_errors=True)


def _verify(path: Path) -> None:
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: no readable {_MANIFEST}", expected="a checkpoint directory") from error
    for name, expected in manifest.items():
        file = path / name
        if not file.is_file() or _sha256(file) != expected:
            raise CheckpointError(f"{file}: does not match its hash", expected=f"sha256 {expected[:12]}...")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("wb") as stream:
        torch.save(content, stream)
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
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
