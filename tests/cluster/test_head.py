"""A cluster that does not start, without Ray: what is said, and that nothing is left."""

from __future__ import annotations

import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from distsys.cluster import head
from distsys.errors import RunFailed, UsageError


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(head, "_SHORT", str(tmp_path))
    monkeypatch.setattr(head, "_END_S", 0.5)


def program(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Stands in for Ray."""
    monkeypatch.setattr(head, "_command", lambda *_: [sys.executable, "-c", code])


def test_one_that_ends_at_once_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "print('no room in /dev/shm'); raise SystemExit(1)")
    with pytest.raises(RunFailed, match="Ray does not start: no room in /dev/shm"):
        head.start(cpus=1)
    assert not head.home().exists()
    assert list(tmp_path.glob("distsys-ray-*")) == []


def test_one_that_never_answers_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    child = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}], start_new_session=True)\n{deaf}"
    )
    program(monkeypatch, child)
    monkeypatch.setattr(head, "_START_S", 1.5)
    seen: list[int] = []
    real = head.end

    def ended(one: head.Head) -> None:
        seen.extend(process.pid for process in head._processes(one.scratch))
        real(one)
        assert head._processes(one.scratch) == []

    monkeypatch.setattr(head, "end", ended)
    with pytest.raises(RunFailed, match="Ray does not start"):
        head.start(cpus=1)
    assert len(seen) == 2
    assert list(tmp_path.glob("distsys-ray-*")) == []


def test_while_it_starts_its_files_are_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "import time; time.sleep(60)")
    modes: dict[str, int] = {}

    def looked(process: object, one: head.Head) -> None:
        for name, path in {"token": head.token_file(), "home": head.home(), "scratch": Path(one.scratch)}.items():
            modes[name] = stat.S_IMODE(path.stat().st_mode)
        with pytest.raises(UsageError, match="a cluster stands already"):
            head.start(cpus=1)

    monkeypatch.setattr(head, "_wait_until_it_answers", looked)
    one = head.start(cpus=1)
    began = time.monotonic()
    head.end(one)
    assert time.monotonic() - began < 5
    assert modes == {"token": 0o600, "home": 0o700, "scratch": 0o700}
    assert head.Head.read() is None


def test_a_record_of_one_that_died_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "pass")
    monkeypatch.setattr(head, "_wait_until_it_answers", lambda process, one: process.wait(10))
    first = head.start(cpus=1)
    second = head.start(cpus=3)
    assert not Path(first.scratch).exists()
    assert (head.Head.read() or first).cpus == second.cpus == 3
    head.end(second)


def test_a_port_that_is_taken_gives_another() -> None:
    with socket.socket() as taken:
        taken.bind((head.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert head._free_port(port) != port
    assert head._free_port(port) == port
