"""One folder here and the objects that stand for it in a store: who has what, and in which order it travels."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from distsys.storage.objects import Mark, Objects, is_hidden, together

_CHECKPOINTS, _MANIFEST = "/checkpoints/", "/manifest.json"
_ENDS = ("outcome.json", "status.json", "handoff.json", "evaluation.json")
"""Files that speak of others in their run's folder."""


class Known(NamedTuple):
    """How an object and its file were when they last were the same."""

    there: Mark
    here: Mark


def is_of_checkpoint(name: str) -> bool:
    """Whether ``name`` is a file of a checkpoint."""
    return _CHECKPOINTS in f"/{name}"


def _turn(name: str) -> int:
    """When a file is sent: what vouches for or speaks of others comes after them."""
    if is_of_checkpoint(name):
        return 2 if name.endswith(_MANIFEST) else 1
    return 3 if name.rpartition("/")[2] in _ENDS else 0


def _checkpoint_of(name: str) -> str:
    return name.rpartition("/")[0]


class Sync:
    """Keeps files below ``local`` and objects equal, one direction at a time; what it knows of both is in ``known``."""

    def __init__(self, objects: Objects, local: Path, known: dict[str, Known]) -> None:
        self._objects, self._local, self.known = objects, local, known

    def push(self, folder: str) -> bool:
        """Send what has changed here below ``folder``, delete there what was here and is no more.

        Whether anything was. A checkpoint's manifest is sent last and deleted first.
        """
        here = self._here(folder)
        changed = [name for name, mark in here.items() if name not in self.known or self.known[name].here != mark]
        gone = [name for name in self._known_below(folder) if name not in here]
        rewritten = [name for name in changed if _turn(name) == 2 and name in self.known]
        together(self._delete, rewritten)
        for turn in range(4):
            together(lambda name: self._send(name, here[name]), [name for name in changed if _turn(name) == turn])
        together(self._delete, [name for name in gone if _turn(name) == 2])
        together(self._delete, [name for name in gone if _turn(name) != 2])
        return bool(changed or gone)

    def fetch(self, folder: str, *, wanted: Callable[[str], bool]) -> bool:
        """Take what is new there below ``folder``, and delete here what is no more there. Whether anything was.

        Where both sides have changed the same file, the store's side of the folder counts. Only checkpoints with a
        manifest are there.
        """
        there = _whole({name: mark for name, mark in self._objects.below(folder).items() if wanted(name)})
        if not there:
            return False
        here = {name: mark for name, mark in self._here(folder).items() if wanted(name)}
        own = {name for name, mark in here.items() if name not in self.known or self.known[name].here != mark}
        news = {name for name, mark in there.items() if name not in self.known or self.known[name].there != mark}
        news |= there.keys() - here.keys()
        gone = {name for name in here if name in self.known and name not in there} - own
        if own & news:
            gone |= own - there.keys()
            news |= own & there.keys()
        for name in gone:
            (self._local / name).unlink(missing_ok=True)
            self.known.pop(name, None)
        for turn in range(4):
            together(lambda name: self._take(name, there[name]), [name for name in news if _turn(name) == turn])
        self._tidy(gone)
        return bool(news or gone)

    def forget(self, folder: str) -> None:
        """Delete the files below ``folder`` here, and the folders above that are empty then."""
        shutil.rmtree(self._local / folder, ignore_errors=True)
        with suppress(OSError):
            os.removedirs((self._local / folder).parent)
        for name in self._known_below(folder):
            del self.known[name]

    def _send(self, name: str, here: Mark) -> None:
        if (there := self._objects.upload(self._local / name, name)) is not None:
            self.known[name] = Known(there, here)

    def _take(self, name: str, there: Mark) -> None:
        file = self._local / name
        if self._objects.download(name, file):
            self.known[name] = Known(there, _mark(file))

    def _delete(self, name: str) -> None:
        self._objects.delete(name)
        self.known.pop(name, None)

    def _known_below(self, folder: str) -> list[str]:
        return [name for name in list(self.known) if name.startswith(f"{folder}/")]

    def _here(self, folder: str) -> dict[str, Mark]:
        """Every file below ``folder``, looked at in the reverse order of sending: none speaks of one that is missing.

        What appears while this looks is sent the next time.
        """
        found: dict[str, Mark] = {}
        for turn in (3, 2, 1, 0):
            for name in self._names(folder):
                if _turn(name) == turn and name not in found:
                    with suppress(FileNotFoundError):
                        found[name] = _mark(self._local / name)
        manifests = {_checkpoint_of(name) for name in found if _turn(name) == 2}
        return {name: mark for name, mark in found.items() if _turn(name) != 1 or _checkpoint_of(name) in manifests}

    def _names(self, folder: str) -> Iterable[str]:
        for place, folders, files in os.walk(self._local / folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = Path(place).relative_to(self._local).as_posix()
            yield from (f"{inside}/{name}" for name in files if not is_hidden(name))

    def _tidy(self, gone: Iterable[str]) -> None:
        """Folders of checkpoints that were deleted: an empty one would be taken for a damaged one."""
        for place in {_checkpoint_of(name) for name in gone if is_of_checkpoint(name)}:
            with suppress(OSError):
                (self._local / place).rmdir()


def _whole(there: dict[str, Mark]) -> dict[str, Mark]:
    """Without checkpoints whose manifest, which is sent last, is not there."""
    manifests = {_checkpoint_of(name) for name in there if _turn(name) == 2}
    return {name: mark for name, mark in there.items() if _turn(name) != 1 or _checkpoint_of(name) in manifests}


def _mark(file: Path) -> Mark:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns
