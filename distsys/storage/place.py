"""The seam: all other code works in a local folder, and says when it wants what is newer, or has made something."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

Say = Callable[[str], None]


class Place(Protocol):
    """Where the experiments of one ``--out`` are kept. Travels to other processes.

    Args:
        local: the folder on this machine that stands for it.
    """

    @property
    def local(self) -> Path: ...

    def fetch(self, path: Path, *, checkpoints: bool = True) -> None:
        """Bring ``path``, a folder below ``local``, up to date.

        Raises:
            RunFailed: what keeps it did not answer for minutes.
        """

    def look(self, path: Path, *, every_s: float = 0.0) -> None:
        """The same without checkpoints, at most so often, and without an error: a store that is away is asked again."""

    def push(self, path: Path) -> None:
        """Keep what has changed in the folder ``path``; what it no longer holds is kept no longer.

        Raises:
            RunFailed: what keeps it did not answer for minutes.
        """

    def try_push(self, path: Path) -> None:
        """The same, but not now if the store is away: the next one tells it."""

    def forget(self, path: Path) -> None:
        """The local copy of the folder ``path`` is needed no more."""

    def beside(self, path: Path, *, scratch: Path) -> tuple[Place, Path]:
        """The same place, and ``path`` in it, for a process that does not see ``local`` of this one."""

    def held(
        self, folder: Path, *, lost: Say, say: Say, sending: Callable[[], AbstractContextManager[None]]
    ) -> AbstractContextManager[None]:
        """For the only driver of the experiment in ``folder``: all of it is fetched, and kept while the block runs.

        Args:
            lost: called once, from another thread, should another driver have taken over.
            say: is told what could not be kept at the end.
            sending: entered for what is sent at the end.

        Raises:
            UsageError: another driver holds it.
        """


class SharedFolder:
    """A folder that every node sees: nothing has to travel."""

    def __init__(self, local: Path) -> None:
        self.local = local

    def fetch(self, path: Path, *, checkpoints: bool = True) -> None:
        """It is there."""

    def look(self, path: Path, *, every_s: float = 0.0) -> None:
        """It is there."""

    def push(self, path: Path) -> None:
        """It is there."""

    def try_push(self, path: Path) -> None:
        """It is there."""

    def forget(self, path: Path) -> None:
        """It stays."""

    def beside(self, path: Path, *, scratch: Path) -> tuple[SharedFolder, Path]:
        """Every process sees it."""
        return self, path

    @contextmanager
    def held(
        self, folder: Path, *, lost: Say, say: Say, sending: Callable[[], AbstractContextManager[None]]
    ) -> Iterator[None]:
        """The lock file in ``folder`` is all that it takes."""
        yield


SHARED = SharedFolder(Path("/"))
"""For whoever is told of no other place."""

CACHE = "DISTSYS_CACHE"
"""Environment variable: where local copies of what is in a store are kept."""


def cache_root() -> Path:
    """The folder of all local copies on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(base) / "distsys").absolute()
