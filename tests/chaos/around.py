"""What happens around a command: a tracking server that is away, a full disk, a second driver."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tests.chaos.damage import Twin
from tests.chaos.forked import RUN, Command, ended
from tests.chaos.tally import Tally, compare, found_in

_SLOW = {"SINE_SLOW": "loss_terms", "SINE_SECONDS": "0.01"}
_SPAN_S = 5.0
"""From a command's start to its end, when it is made slow."""


class Door:
    """A port that leads to a server while it is open, and refuses while it is shut."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []

    def open(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def shut(self) -> None:
        listening, self._listening = self._listening, None
        for item in ([listening] if listening else []) + self._open:
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
        self._open.clear()

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listening.accept()
                there = socket.create_connection(("127.0.0.1", self._behind))
                self._open += [here, there]
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(65536):
            sink.sendall(some)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def tracking_server(folder: Path) -> Iterator[tuple[Door, Path]]:
    """A door to an MLflow server, shut, and the server's database."""
    folder.mkdir()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    store = folder / "server.db"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{store}"]
    command += ["--default-artifact-root", str(folder / "artifacts"), "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: _answers(port))
        yield Door(port), store
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def _wait(until: Callable[[], bool], *, longest_s: float = 120.0) -> None:
    end = time.monotonic() + longest_s
    while not until():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def tracker_away(place: Path, share: float) -> Iterator[Tally]:
    """No server at the beginning, for a while, or at all: the same command sends what it lacks (L5)."""
    twin, times = Twin(RUN, place), max(1, round(10 * share))
    with tracking_server(place / "server") as (door, store):
        for when in ("at the beginning", "for a while", "all the time"):
            yield _away(twin, door, store, when, times)


def _away(twin: Twin, door: Door, store: Path, when: str, times: int) -> Tally:
    tally, rng = Tally(f"tracking server away {when}", times), random.Random(when)
    for turn in range(times):
        out = twin.place / f"away{when.replace(' ', '')}-{turn}"
        variables = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{door.port}"}
        if when == "for a while":
            door.open()
        command = Command(RUN, place=twin.place, out=out, variables=variables | _SLOW)
        if when != "all the time":
            time.sleep(rng.uniform(0.0, _SPAN_S))
            tally.hit += command.is_running
            door.shut() if when == "for a while" else door.open()
        if when == "for a while":
            time.sleep(rng.uniform(0.0, _SPAN_S))
            door.open()
        first = command.ended()
        if when == "all the time":
            tally.hit += 1
            door.open()
        began = time.monotonic()
        again = ended(RUN, place=twin.place, out=out, variables=variables)
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
        for done in (first, again):
            if done.code != 0 or "Traceback" in done.said:
                tally.told.append(f"{out.name}: exit code {done.code}: {done.said[-600:]}")
        compare(tally, out.name, found_in(out, store=store), twin.found)
        door.shut()
    return tally


_PHASES = ("search", "handoff", "final", "evaluation", "tracking")
_REACHED = {
    "search": "*/trials/*/metrics.jsonl",
    "handoff": "*/handoff/*/metrics.jsonl",
    "final": "*/final/*/metrics.jsonl",
    "evaluation": "*/final/*/outcome.json",
    "tracking": "mlflow.db",
}


def full_disk(place: Path, share: float) -> Iterator[Tally]:
    """A small file system that fills up in each phase, where one can be mounted."""
    twin, times = Twin(RUN, place), max(1, round(4 * share))
    tally = Tally("disk full, in each phase", times * len(_PHASES))
    for phase in _PHASES:
        for turn in range(times):
            disk = place / f"disk-{phase}-{turn}"
            with small_disk(disk) as is_mounted:
                if not is_mounted:
                    tally.told.append("not tried: no file system could be mounted")
                    yield tally
                    return
                _fill_up(twin, tally, disk, _REACHED[phase])
    yield tally


def _fill_up(twin: Twin, tally: Tally, disk: Path, reached: str) -> None:
    out, ballast = disk / "out", disk / "ballast"
    command = Command(RUN, place=twin.place, out=out, variables=_SLOW)
    _wait(lambda: any(out.glob(reached)) or not command.is_running)
    with suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while stream.write(b"\1" * 4096):
            pass
    done = command.ended()
    ballast.unlink()
    tally.hit += done.code != 0
    if done.code not in (0, 1) or "Traceback" in done.said or (done.code == 1 and "no space left" not in done.said):
        tally.told.append(f"{disk.name}: exit code {done.code}: {done.said[-600:]}")
    twin.judge(tally, out)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of 16 MiB at ``folder``; whether one could be mounted."""
    folder.mkdir()
    mount = shutil.which("mount")
    given = ["-t", "tmpfs", "-o", "size=16m", "distsys-chaos", str(folder)]
    if mount is None or subprocess.run([mount, *given], capture_output=True, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def two_drivers(place: Path, share: float) -> Iterator[Tally]:
    """A second command on the same experiment, at any time: one works, the other says so."""
    twin, rng = Twin(RUN, place), random.Random(2)
    tally = Tally("two drivers", max(1, round(20 * share)))
    for turn in range(tally.times):
        out = place / f"two-{turn}"
        first = Command(RUN, place=place, out=out, variables=_SLOW)
        time.sleep(rng.uniform(0.0, _SPAN_S))
        second = ended(RUN, place=place, out=out, variables=_SLOW)
        both = [first.ended(), second]
        refused = [done for done in both if done.code == 2]
        tally.hit += len(refused)
        if len(refused) > 1 or any(done.code not in (0, 2) for done in both):
            tally.told.append(f"{out.name}: exit codes {[done.code for done in both]}: {second.said[-600:]}")
        if any("another distsys works on" not in done.said for done in refused):
            tally.told.append(f"{out.name}: refused for something else: {refused[0].said[-300:]}")
        twin.judge(tally, out)
    yield tally
