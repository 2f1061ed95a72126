"""Ray's files on the local disk: what a crash left is removed with its processes, what is in use is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distsys.cluster.place import own_place
from distsys.files import lock

Call = Callable[..., tuple[int, str, str]]


def test_what_a_crash_left_is_removed_and_what_is_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("distsys.cluster.place._LONGEST_SOCKET", 1000)
    left, used, other = tmp_path / "dsy-left", tmp_path / "dsy-used", tmp_path / "distsys-ray-other"
    for place in (left, used, other):
        place.mkdir()
        (place / "lock").touch()
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    raylet = subprocess.Popen([sys.executable, "-c", f"{child}; time.sleep(60)", f"--session-dir={left}/session"])
    with lock(used / "lock") as is_held, own_place() as place:
        assert is_held
        assert place.is_dir()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([place.name, used.name, other.name])
        assert raylet.wait(10) == -9
    assert not place.exists()


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_too_long_a_place_for_sockets_is_named(
    distsys: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    long = tmp_path / ("x" * 70)
    long.mkdir()
    monkeypatch.setenv(name, str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    code, _, err = distsys("search", "{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--out", "{tmp}/out")
    assert code == 1
    assert f"{name} is {long}" in err
    assert "AF_UNIX path length cannot exceed 107 bytes" in err
    assert f"fix: set {name} to a shorter path, such as /tmp" in err
    assert not list(long.glob("*dsy-*"))


def test_a_cluster_that_is_not_there_is_named(distsys: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, _, err = distsys("search", "{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--out", "{tmp}/out")
    assert code == 1
    assert "RAY_ADDRESS is 127.0.0.1:1, and no Ray cluster answers there" in err
    assert "unset it" in err
