"""An object store as the place of experiments: a local copy of what is worked on, and what of it travels when."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from distsys.errors import DamagedFile, DiskFull, RunFailed, UsageError
from distsys.files import read_json, write_json
from distsys.storage.connect import explained, is_uri
from distsys.storage.lease import lease
from distsys.storage.objects import Objects, patiently
from distsys.storage.place import Place, Say, SharedFolder, cache_root
from distsys.storage.sync import Known, Sync, is_of_checkpoint

_INDEX = ".store.json"
_PUSH_S = 5.0
"""The driver's own files are sent this often."""
_SHORT = re.compile(r"(?:^|/)(?:trials|handoff)/[^/]+/checkpoints/")
"""Checkpoints of trials and candidates are for the processes that go on with them."""


def open_place(out: Path | str) -> Place:
    """The place that ``--out`` names, once it was tried.

    Raises:
        UsageError: it is no store that can be written, listed, read and deleted in, with this user's credentials.
    """
    if not is_uri(str(out)):
        return SharedFolder(Path(out).absolute())
    store = Store(str(out), local_of(out))
    store.try_out()
    return store


def local_of(out: Path | str) -> Path:
    """The folder on this machine that stands for ``out``; for a folder itself. Asks nobody."""
    return cache_root() / _short_name(str(out)) if is_uri(str(out)) else Path(out).absolute()


def reading(out: Path | str) -> Place:
    """The place that ``--out`` names, for what is only read: not tried, with local copies of its own."""
    return Store(str(out), _copies(str(out))) if is_in_store(str(out)) else SharedFolder(Path(out).absolute())


def is_in_store(place: Path | str) -> bool:
    """Whether ``place`` is the URI of something in a store; tracking stores are none."""
    return is_uri(str(place)) and not str(place).startswith(("http://", "https://", "sqlite:", "postgresql", "mysql"))


def _copies(uri: str) -> Path:
    return cache_root() / "copies" / _short_name(uri)


def local_copy(place: Path | str) -> Path:
    """``place``, an experiment, run or checkpoint, as a folder here: one in a store is fetched to this machine.

    Raises:
        UsageError: there is nothing, or it cannot be read.
    """
    if not is_uri(str(place)):
        return Path(place).absolute()
    parts = urlsplit(str(place))
    above, _, name = parts.path.rstrip("/").rpartition("/")
    uri = parts._replace(path=above).geturl()
    store = Store(uri, _copies(uri))
    folder = store.local / name
    try:
        store.fetch(folder)
    except RunFailed as error:
        raise UsageError(error.found, expected=error.expected, fix=error.fix) from error
    if not folder.is_dir():
        raise UsageError(f"{place}: there is nothing", expected="an experiment, a run or a checkpoint in a store")
    return folder


def _short_name(uri: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", uri.partition("?")[0])[:60].strip("-")
    return f"{plain}-{sha256(uri.encode()).hexdigest()[:8]}"


class Store:
    """A :class:`Place` of which ``local`` is this process's copy.

    Args:
        uri: of the folder of all experiments.
        local: for a driver the copy that its later commands go on with; for others one of their own.
    """

    def __init__(self, uri: str, local: Path) -> None:
        self.uri, self.local = uri, local
        self._objects = Objects(uri)
        self._sync = Sync(self._objects, local, {})
        self._busy = threading.Lock()
        self._looked_at: dict[Path, float] = {}
        self._is_lost = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.uri, self.local)

    def beside(self, path: Path, *, scratch: Path) -> tuple[Store, Path]:
        return Store(self.uri, scratch), scratch / self._name(path)

    def fetch(self, path: Path, *, checkpoints: bool = True) -> None:
        self._patiently(lambda: self._fetch(path, lambda name: checkpoints or not is_of_checkpoint(name)))

    def look(self, path: Path, *, every_s: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._looked_at.get(path, -every_s) < every_s:
            return
        self._looked_at[path] = now
        with suppress(OSError):
            self._fetch(path, lambda name: not is_of_checkpoint(name))

    def push(self, path: Path) -> None:
        self._patiently(lambda: self._push(path))

    def try_push(self, path: Path) -> None:
        with suppress(OSError, RunFailed):
            self._push(path)

    def forget(self, path: Path) -> None:
        with self._busy:
            self._sync.forget(self._name(path))

    @contextmanager
    def held(
        self, folder: Path, *, lost: Say, say: Say, sending: Callable[[], AbstractContextManager[None]]
    ) -> Iterator[None]:
        """What is known of both sides lies in ``folder``, so that a later command sends what this one could not."""
        index = folder / _INDEX

        def stop(found: str) -> None:
            self._is_lost = True
            lost(found)

        with ExitStack() as stack:
            with _refused(self.uri):
                stack.enter_context(lease(self._objects, self._name(folder), local=self.local, lost=stop, say=say))
            known = _read_index(index)
            self._sync.known.update({name: marks for name, marks in known.items() if (self.local / name).is_file()})
            self._patiently(lambda: self._fetch(folder, lambda name: _SHORT.search(name) is None))
            stack.enter_context(self._kept(folder, index))
            try:
                yield
            finally:
                with sending():
                    self._last_push(folder, index, say)

    @contextmanager
    def _kept(self, folder: Path, index: Path) -> Iterator[None]:
        """Within, what changes in ``folder`` is sent now and then."""
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(_PUSH_S):
                self.try_push(folder)
                self._write_index(index)

        threading.Thread(target=send, name="store-push", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _last_push(self, folder: Path, index: Path, say: Say) -> None:
        """What could not be sent is no error of the work that was done."""
        try:
            self.push(folder)
        except RunFailed as error:
            say(f"WARNING: {error}\nwhat the store lacks stands in {folder}; the same command here sends it")
        self._write_index(index)

    def _write_index(self, index: Path) -> None:
        with self._busy, suppress(DiskFull, OSError):  # without it, the store's side counts
            write_json(index, {"known": self._sync.known})

    def try_out(self) -> None:
        """Raises UsageError where the store does not take, list, give back and delete an object."""
        folder = f"distsys-probe-{secrets.token_hex(4)}"
        with _refused(self.uri):
            self._objects.write(f"{folder}/probe", b"probe")
            found = list(self._objects.below(folder))
            content = self._objects.read(f"{folder}/probe")
            self._objects.delete(f"{folder}/probe")
            self._objects.delete_folder(folder)
        if found != [f"{folder}/probe"] or content != b"probe":
            raise UsageError(
                f"{self.uri}: an object that was written is not listed, or another one is given back",
                expected="a store in which what was written is seen at once",
                fix="use another one: some mirrors and gateways show old listings",
            )

    def _fetch(self, path: Path, wanted: Callable[[str], bool]) -> None:
        with self._busy:
            self._sync.fetch(self._name(path), wanted=wanted)

    def _push(self, path: Path) -> None:
        """What belongs to another driver is not written over."""
        with self._busy:
            if self._is_lost:
                raise RunFailed(f"{self.uri}: another driver has taken {path.name} over", fix="leave it to that one")
            self._sync.push(self._name(path))

    def _patiently(self, work: Callable[[], None]) -> None:
        patiently(work, self.uri)

    def _name(self, path: Path) -> str:
        return path.absolute().relative_to(self.local).as_posix()


def _read_index(index: Path) -> dict[str, Known]:
    """What an earlier command knew; nothing where that is damaged, and the store's side counts."""

    def parsed(content: dict[str, Any]) -> dict[str, Known]:
        marks = {name: [(int(size), int(time_ns)) for size, time_ns in pair] for name, pair in content["known"].items()}
        return {name: Known(*pair) for name, pair in marks.items()}

    with suppress(DamagedFile):
        return read_json(index, parsed, fix="delete it")
    return {}


@contextmanager
def _refused(uri: str) -> Iterator[None]:
    """What a store refuses in the block is the user's to mend, before any work."""
    try:
        yield
    except OSError as error:
        trouble = explained(error)
        raise UsageError(f"{uri}: {trouble.found}", expected=trouble.expected, fix=trouble.fix) from error
