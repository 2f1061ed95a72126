"""Checkpoints: whole or not at all, checked by hash, and never a silent start at step 0."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from distsys.errors import CheckpointError, DiskFull
from distsys.training import checkpoint
from distsys.training.assess import load_model
from distsys.training.loop import fit
from tests.training.support import make_context


def save(folder: Path, step: int) -> Path:
    return checkpoint.save(
        folder,
        meta={"step": step},
        model={"w": torch.full((3,), float(step))},
        training={"step": step},
        statistics={"names": ["a"]},
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    found = checkpoint.load(save(tmp_path, 5))
    assert found.step == 5
    assert torch.equal(found.model["w"], torch.full((3,), 5.0))
    assert found.statistics == {"names": ["a"]}
    assert found.training_state() == {"step": 5}


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "delete"])
@pytest.mark.parametrize("name", ["model.pt", "training.pt", "meta.json", "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over_and_said_so(tmp_path: Path, harm: str, name: str) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    harmed = {"flip": bytes(content), "truncate": path.read_bytes()[:-7], "empty": b""}
    if harm == "delete":
        path.unlink()
    else:
        path.write_bytes(harmed[harm])
    found, complaints = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert len(complaints) == 1
    assert "step-00000002" in complaints[0]


@pytest.mark.parametrize("name", ["model.pt", "training.pt", "meta.json", "manifest.json"])
def test_a_file_of_an_older_checkpoint_is_not_taken_for_that_of_the_newer(tmp_path: Path, name: str) -> None:
    older, newer = save(tmp_path, 1), save(tmp_path, 2)
    (newer / name).write_bytes((older / name).read_bytes())
    found, complaints = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.step, len(complaints)) == (1, 1)


def rehash(path: Path) -> None:
    """A manifest that fits whatever the other files are by now."""
    names = [item.name for item in sorted(path.iterdir()) if item.name != "manifest.json"]
    manifest = {name: checkpoint._sha256(path / name) for name in names}
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("meta.json", b'{"format": 0, "step": 2, "identity": "ours"}', "format 0"),
        ("meta.json", b'{"format": 1, "step": 2, "identity": "theirs"}', "is of another run, theirs"),
        ("meta.json", b'{"format": 1, "identity": "ours"}', "is of step None"),
        ("meta.json", b'{"format": 1, "step": 1, "identity": "ours"}', "is of step 1"),
        ("meta.json", b"[]", "holds a list"),
        ("model.pt", b"nothing that torch wrote", "model.pt"),
    ],
)
def test_what_fits_its_hash_and_is_not_of_this_run_is_passed_over_too(
    tmp_path: Path, name: str, content: bytes, word: str
) -> None:
    for step in (1, 2):
        meta = json.dumps({"format": 1, "step": step, "identity": "ours"})
        (save(tmp_path, step) / "meta.json").write_text(meta)
        rehash(checkpoint.directory_of(tmp_path, step))
    newer = checkpoint.directory_of(tmp_path, 2)
    (newer / name).write_bytes(content)
    rehash(newer)
    found, complaints = checkpoint.latest(tmp_path, identity="ours")
    assert found is not None
    assert found.step == 1
    assert len(complaints) == 1
    assert word in complaints[0]


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"model.pt": "0"}', "lacking"])
def test_a_manifest_that_vouches_for_less_than_all_files_is_damaged(tmp_path: Path, content: str) -> None:
    path = save(tmp_path, 1)
    save(tmp_path, 2)
    whole = json.loads((path / "manifest.json").read_text())
    if content == "lacking":
        content = json.dumps({name: digest for name, digest in whole.items() if name != "training.pt"})
    newer = checkpoint.directory_of(tmp_path, 2)
    (newer / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json") as caught:
        checkpoint.load(newer)
    assert f"name another one of {newer.parent} (step-00000001), or delete {tmp_path}" in caught.value.fix
    found, complaints = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.step, len(complaints)) == (1, 1)


def test_when_none_is_intact_the_run_does_not_start_again_silently(tmp_path: Path) -> None:
    (save(tmp_path, 1) / "model.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no intact checkpoint"):
        checkpoint.latest(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps({**meta, "format": 0}))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["meta.json"] = checkpoint._sha256(path / "meta.json")
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="format 0"):
        checkpoint.load(path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1/0",))


def test_loading_never_runs_code(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    torch.save({"model": Evil()}, path / "model.pt")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["model.pt"] = checkpoint._sha256(path / "model.pt")
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        checkpoint.load(path)


@pytest.mark.parametrize("boundary", ["_write", "_write_json", "_sha256", "sync_folder"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_crash_at_a_write_boundary_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boundary: str, call: int
) -> None:
    save(tmp_path, 1)
    original, calls = getattr(checkpoint, boundary), []

    def crash(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, boundary, crash)
        if boundary == "sync_folder" and call == 2:
            save(tmp_path, 2)
        else:
            with pytest.raises(KeyboardInterrupt):
                save(tmp_path, 2)
    found, complaints = checkpoint.latest(tmp_path)
    assert complaints == []
    assert found is not None
    assert found.step in ({2} if boundary == "sync_folder" else {1})


@pytest.mark.parametrize("last", [1, 2])
def test_one_that_is_written_anew_is_never_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    path = save(tmp_path, 1)
    replace, calls = os.replace, []

    def crash(*places: Path) -> None:
        calls.append(places)
        if len(calls) == last:
            raise KeyboardInterrupt
        replace(*places)

    with monkeypatch.context() as patch:
        patch.setattr("distsys.training.checkpoint.os.replace", crash)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 1)
    assert path.is_dir() == (last == 1)
    found, complaints = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.step, complaints) == (1, [])
    save(tmp_path, 1)
    assert [item.name for item in (tmp_path / "checkpoints").iterdir()] == [path.name]


def test_a_full_disk_is_told_and_leaves_no_half_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_json", full)
        with pytest.raises(DiskFull, match="step-00000002: no space left on the disk"):
            save(tmp_path, 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_a_run_keeps_last_previous_best_and_last_healthy(outside: Path, tmp_path: Path) -> None:
    outcome = fit(make_context(outside, tmp_path / "a"))
    names = {path.name for path in (tmp_path / "a" / "checkpoints").iterdir()}
    assert {"step-00000090", "step-00000120"} <= names
    assert outcome.checkpoint is not None
    assert outcome.checkpoint.name in names
    assert len(names) <= 5


def test_a_run_resumed_from_a_damaged_checkpoint_says_so_and_ends_the_same(outside: Path, tmp_path: Path) -> None:
    fit(make_context(outside, tmp_path / "whole"))
    fit(make_context(outside, tmp_path / "cut"))
    before = checkpoint.load(checkpoint.directory_of(tmp_path / "cut", 120)).model
    (checkpoint.directory_of(tmp_path / "cut", 120) / "model.pt").write_bytes(b"damaged")
    outcome = fit(make_context(outside, tmp_path / "cut"))
    assert any("does not match its hash" in note for note in outcome.notes)
    assert "resumed at step 90 of 120" in outcome.notes
    after = checkpoint.load(checkpoint.directory_of(tmp_path / "cut", 120)).model
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_of_another_run_and_a_start_from_nothing_are_said(outside: Path, tmp_path: Path) -> None:
    fit(make_context(outside, tmp_path / "cut"))
    newest = checkpoint.directory_of(tmp_path / "cut", 120)
    meta = json.loads((newest / "meta.json").read_text())
    (newest / "meta.json").write_text(json.dumps({**meta, "identity": "f" * 64}))
    rehash(newest)
    outcome = fit(make_context(outside, tmp_path / "cut"))
    assert any("is of another run, ffffffff" in note for note in outcome.notes)
    assert "resumed at step 90 of 120" in outcome.notes
    shutil.rmtree(tmp_path / "cut" / "checkpoints")
    outcome = fit(make_context(outside, tmp_path / "cut"))
    assert outcome.notes == ("no checkpoint is left of 4 validations: begins again at step 0",)


def test_a_kill_while_old_ones_are_deleted_leaves_no_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    for step in (1, 2, 3):
        save(tmp_path, step)
    real, calls = shutil.rmtree, []

    def killed(path: Path, **given: object) -> None:
        calls.append(path)
        if len(calls) == 2:
            (path / "model.pt").unlink()
            raise Killed
        real(path, ignore_errors=True)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            checkpoint.keep_only(tmp_path, {3})
    for path in (tmp_path / "checkpoints").glob("step-*"):
        checkpoint.load(path)
    checkpoint.keep_only(tmp_path, {3})
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000003"]


@pytest.mark.parametrize("error", [KeyError("curve_mean"), RuntimeError("Missing key(s) in state_dict: 'w'")])
def test_a_model_of_another_version_of_its_domain_is_refused_with_a_word(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    context = make_context(outside, tmp_path / "run", "final.steps=4", "final.eval_every_steps=4")
    fit(context)

    def build_model(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(context.domain), "build_model", build_model)
    with pytest.raises(CheckpointError, match="a model of another version of 'sine'"):
        load_model(checkpoint.directory_of(tmp_path / "run", 4))
