"""What travels between a folder and a store, in which order, and who is right where both have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from distsys.storage import sync as sync_module
from distsys.storage.objects import Objects
from distsys.storage.store import Store
from tests.storage.support import make_checkpoint, text_of

MODEL, MANIFEST = "model.pt", "manifest.json"


def two(tmp_path: Path) -> tuple[Store, Store, Path]:
    """Two machines with one store, and the folder behind it."""
    there = tmp_path / "there"
    return Store(there.as_uri(), tmp_path / "a"), Store(there.as_uri(), tmp_path / "b"), there


def write(place: Store, name: str, content: str) -> Path:
    file = place.local / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def test_what_one_machine_pushes_another_fetches(tmp_path: Path) -> None:
    a, b, _ = two(tmp_path)
    write(a, "run/metrics.jsonl", "1\n")
    write(a, "run/.stop", "hidden")
    make_checkpoint(a.local / "run", 10)
    a.push(a.local / "run")
    b.fetch(b.local / "run")
    assert text_of(b.local) == {name: text for name, text in text_of(a.local).items() if name != "run/.stop"}
    assert len(text_of(b.local)) == 5


def test_looking_leaves_checkpoints_where_they_are(tmp_path: Path) -> None:
    a, b, _ = two(tmp_path)
    write(a, "run/metrics.jsonl", "1\n")
    make_checkpoint(a.local / "run", 10)
    a.push(a.local / "run")
    b.look(b.local / "run")
    assert list(text_of(b.local)) == ["run/metrics.jsonl"]
    b.fetch(b.local / "run")
    assert len(text_of(b.local)) == 5


def test_a_torn_upload_is_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at each of its objects in turn: the other machine has the checkpoint before it and no part of this."""
    for after in range(4):
        a, b, _ = two(tmp_path / str(after))
        make_checkpoint(a.local / "run", 10)
        a.push(a.local / "run")
        make_checkpoint(a.local / "run", 20)
        with monkeypatch.context() as patch:
            stop_after(patch, after)
            with pytest.raises(ConnectionAbortedError):
                a._push(a.local / "run")
        b.fetch(b.local / "run")
        assert {path.name for path in (b.local / "run" / "checkpoints").iterdir()} == {"step-00000010"}
        a.push(a.local / "run")
        b.fetch(b.local / "run")
        assert text_of(b.local) == text_of(a.local)


def stop_after(patch: pytest.MonkeyPatch, count: int) -> None:
    """The connection breaks once so many objects were sent."""
    real = Objects.upload
    sent: list[str] = []

    def upload(self: Objects, file: Path, name: str) -> object:
        if len(sent) == count:
            raise ConnectionAbortedError
        sent.append(name)
        return real(self, file, name)

    patch.setattr(Objects, "upload", upload)
    patch.setattr(sync_module, "together", lambda work, items: [work(item) for item in items])


def test_a_manifest_is_sent_after_all_it_vouches_for_and_deleted_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _, _ = two(tmp_path)
    calls: list[str] = []
    real_upload, real_delete = Objects.upload, Objects.delete

    def upload(self: Objects, file: Path, name: str) -> object:
        calls.append(f"send {file.name}")
        return real_upload(self, file, name)

    def delete(self: Objects, name: str) -> None:
        calls.append(f"delete {name.rpartition('/')[2]}")
        real_delete(self, name)

    monkeypatch.setattr(Objects, "upload", upload)
    monkeypatch.setattr(Objects, "delete", delete)
    folder = make_checkpoint(a.local / "run", 10)
    write(a, "run/outcome.json", "it speaks of step 10")
    write(a, "run/metrics.jsonl", "1\n")
    a.push(a.local / "run")
    assert calls[0] == "send metrics.jsonl"
    assert calls[-2:] == ["send manifest.json", "send outcome.json"]
    assert len(calls) == 6
    calls.clear()
    make_checkpoint(a.local / "run", 10, content="after a rollback")
    a.push(a.local / "run")
    assert calls[0] == "delete manifest.json"
    assert calls[-1] == "send manifest.json"
    calls.clear()
    for file in folder.iterdir():
        file.unlink()
    a.push(a.local / "run")
    assert calls[0] == "delete manifest.json"
    assert len(calls) == 4


def test_nothing_is_sent_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, _ = two(tmp_path)
    write(a, "run/metrics.jsonl", "1\n")
    a.push(a.local / "run")
    b.fetch(b.local / "run")
    monkeypatch.setattr(Objects, "upload", lambda self, file, name: pytest.fail(f"sends {name}"))
    monkeypatch.setattr(Objects, "download", lambda self, name, file: pytest.fail(f"takes {name}"))
    for place in (a, b):
        place.push(place.local / "run")
        place.fetch(place.local / "run")


def test_a_checkpoint_that_was_deleted_is_nowhere(tmp_path: Path) -> None:
    a, b, _ = two(tmp_path)
    old = make_checkpoint(a.local / "run", 10)
    a.push(a.local / "run")
    b.fetch(b.local / "run")
    make_checkpoint(a.local / "run", 20)
    for file in old.iterdir():
        file.unlink()
    a.push(a.local / "run")
    b.fetch(b.local / "run")
    assert [path.name for path in (b.local / "run" / "checkpoints").iterdir()] == ["step-00000020"]


def test_what_only_this_machine_has_made_stays_and_is_sent(tmp_path: Path) -> None:
    a, b, _ = two(tmp_path)
    write(a, "run/metrics.jsonl", "1\n")
    a.push(a.local / "run")
    write(a, "run/metrics.jsonl", "1\n2\n")
    make_checkpoint(a.local / "run", 10)
    a.fetch(a.local / "run")
    assert (a.local / "run" / "metrics.jsonl").read_text() == "1\n2\n"
    a.push(a.local / "run")
    b.fetch(b.local / "run")
    assert text_of(b.local) == text_of(a.local)


def test_where_two_machines_went_on_with_a_run_the_store_is_right(tmp_path: Path) -> None:
    a, b, _ = two(tmp_path)
    write(a, "run/metrics.jsonl", "1\n")
    a.push(a.local / "run")
    b.fetch(b.local / "run")
    write(a, "run/metrics.jsonl", "1\n2\n")  # cannot be sent: the network is away
    make_checkpoint(a.local / "run", 20)
    write(b, "run/metrics.jsonl", "1\n2\n3\n")
    make_checkpoint(b.local / "run", 30)
    b.push(b.local / "run")
    a.fetch(a.local / "run")
    assert text_of(a.local) == text_of(b.local)


def test_an_empty_listing_deletes_nothing(tmp_path: Path) -> None:
    """As a bucket gives that was deleted, or a mirror that is behind."""
    a, _, there = two(tmp_path)
    write(a, "run/metrics.jsonl", "1\n")
    a.push(a.local / "run")
    (there / "run" / "metrics.jsonl").unlink()
    a.fetch(a.local / "run")
    assert (a.local / "run" / "metrics.jsonl").read_text() == "1\n"
