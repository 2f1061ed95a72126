"""A folder of this process for what Ray leaves on the local disk; the next one removes what a crash has left."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distsys.errors import RunFailed
from distsys.files import lock

_PREFIX = "dsy-"
"""Short, as every byte of it is one less for TMPDIR."""
_LOCK = "lock"
_LONGEST_SOCKET = 107
"""Bytes of a path that a Unix socket may have (sockaddr_un of Linux, without its last zero)."""


@contextmanager
def own_place() -> Iterator[Path]:
    """A folder that is removed at the end, together with those whose process died.

    Raises:
        RunFailed: it cannot be made, or Ray's sockets in it would have too long a path.
    """
    root = _root()
    remove_left_over(root)
    place = root / f"{_PREFIX}{secrets.token_hex(3)}"
    unseen = place.with_name(f".{place.name}")
    _require_short(place)
    try:
        unseen.mkdir(mode=0o700)
    except OSError as error:
        raise RunFailed(f"{root}: {error.strerror}", expected="a folder for Ray's files", fix=_FIX) from error
    with lock(unseen / _LOCK):  # before others can see it
        unseen.rename(place)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


_FIX = "set TMPDIR to a short path that can be written, such as /tmp"


def _root() -> Path:
    """Where Ray would put them, too: on macOS, whose own place has a long path, /tmp."""
    return Path(os.environ.get("RAY_TMPDIR") or ("/tmp" if sys.platform == "darwin" else tempfile.gettempdir()))  # noqa: S108


def _require_short(place: Path) -> None:
    length = len(os.fsencode(place / f"session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"))
    if length > _LONGEST_SOCKET:
        name = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
        raise RunFailed(
            f"Ray cannot start: {name} is {_root()}, with which the path of its sockets has {length} bytes "
            f"(AF_UNIX path length cannot exceed {_LONGEST_SOCKET} bytes)",
            expected=f"a folder of at most {len(os.fsencode(_root())) - length + _LONGEST_SOCKET} bytes",
            fix=f"set {name} to a shorter path, such as /tmp",
        )


def remove_left_over(root: Path) -> None:
    """Remove the folders below ``root`` whose process is gone, and end what of Ray still runs there.

    The lock tells: it is let go when its process dies, however it dies, and holds across containers.
    """
    for place in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if place.stat().st_uid != os.getuid():
                continue
            with lock(place / _LOCK) as is_free:
                if is_free:
                    end_processes(place)
                    shutil.rmtree(place, ignore_errors=True)


def end_processes(place: Path) -> None:
    """Kill the processes whose command names a file in ``place``, and their children, where /proc lists them."""
    marks = os.fsencode(f"{place}{os.sep}")
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
            if marks in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
    while children := {number for number, parent in parents.items() if parent in found} - found:
        found |= children
    for number in found - {os.getpid()}:
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)
