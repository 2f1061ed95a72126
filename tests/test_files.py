"""Files survive crashes whole, on every system: nothing that one of them lacks is needed."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from distsys import files
from distsys.errors import DamagedFile, DiskFull


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})
    assert json.loads(path.read_text()) == {"x": 1}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match=r"a\.json: no space left on the disk"):
        files.write_json(path, {"x": 2})
    assert json.loads(path.read_text()) == {"x": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_a_torn_tail_is_cut_and_its_length_told(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert files.cut_torn_tail(path) == 0
    path.write_bytes(b"one\ntwo\nthr")
    assert files.cut_torn_tail(path) == 3
    assert path.read_bytes() == b"one\ntwo\n"
    assert files.cut_torn_tail(path) == 0


def test_what_cannot_be_appended_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    files.append(path, b"one\n")
    real_write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:2]))
        with pytest.raises(DiskFull, match="journal: no space left on the disk"):
            files.append(path, b"two\n")
    assert path.read_bytes() == b"one\n"


def _try(path: Path) -> bool:
    with files.lock(path) as is_held:
        return is_held


def test_a_lock_is_one_process_alone_and_let_go_at_the_end(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        with files.lock(tmp_path / ".lock") as is_held:
            assert is_held
            assert not pool.apply(_try, (tmp_path / ".lock",))
        assert pool.apply(_try, (tmp_path / ".lock",))


@pytest.mark.parametrize("missing", ["sched_getaffinity", "O_DIRECTORY"])
def test_a_system_without_linux_calls_is_served(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, missing)
    assert files.num_cpus() >= 1
    files.write_text(tmp_path / "a", "x")
    with files.lock(tmp_path / ".lock") as is_held:
        assert is_held


def test_a_system_that_opens_no_folders_and_has_no_fcntl_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def no_folders(path: os.PathLike[str] | str, *arguments: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *arguments)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(os, "open", no_folders)
    files.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


def test_macos_is_asked_for_a_full_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    asked: list[int] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, command: asked.append(command))
    files.write_text(tmp_path / "a", "x")
    assert asked == [51]


def test_no_module_calls_what_linux_alone_has() -> None:
    """But for ``files``, where each such call has a fallback."""
    alone = ("sched_getaffinity", "import fcntl", "/proc/", "/dev/shm", "posix_fallocate", "os.sendfile", "pidfd")
    package = Path(files.__file__).parent
    for path in package.rglob("*.py"):
        text = path.read_text()
        found = [word for word in alone if word in text]
        assert not found or path.name == "files.py", f"{path}: {found}"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "it is empty"),
        (b"\0\0\0", "Expecting value"),
        (b'{"x": 1', "Expecting ',' delimiter"),
        (b"[1]", "holds a list"),
        (b"3", "holds a int"),
        (b"{}", "lacks 'x'"),
        (b'{"x": [1]}', "holds something else"),
        (b"\xff\xfe", "utf-8"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong_and_what_to_do(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFile) as caught:
        files.read_json(path, lambda found: int(found["x"]), fix="write it again")
    assert f"{path}: is damaged: " in caught.value.found
    assert word in caught.value.found
    assert caught.value.fix == "write it again"


def test_what_is_set_aside_keeps_its_content_and_takes_no_name_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in ("one", "two"):
        path.write_text(content)
        files.set_aside(path)
    assert {item.name: item.read_text() for item in tmp_path.iterdir()} == {
        "a.json.damaged": "one",
        "a.json.damaged1": "two",
    }
