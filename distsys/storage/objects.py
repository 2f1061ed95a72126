"""Objects in a store: listed, read, written whole and deleted. The only import of pyarrow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from distsys.errors import RunFailed
from distsys.storage.connect import connected, explained

if TYPE_CHECKING:
    pass

Item = TypeVar("Item")

Mark = tuple[int, int]
"""Size in bytes and time of the last change in ns: another one means another content. S3 keeps whole seconds."""
_TOGETHER = 12
"""Transfers at a time: small files wait for the network, not for bytes."""
_PATIENCE_S, _LONGEST_WAIT_S = 180.0, 10.0
_PIECE_BYTES = 8 * 2**20
_WHOLE_OR_NOT = ("s3", "gcs", "abfs")
"""File systems whose objects appear when they are closed, and not before."""


class Objects:
    """What lies below ``uri``; every name is relative to it.

    Raises:
        UsageError: the URI names no store that is known.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._fs, self._root = connected(uri)

    def below(self, name: str) -> dict[str, Mark]:
        """Every object below ``name``, by name, without hidden ones."""
        from pyarrow.fs import FileSelector, FileType

        found = self._fs.get_file_info(FileSelector(self._path(name), recursive=True, allow_not_found=True))
        marks = {self._name(item.path): (item.size, item.mtime_ns) for item in found if item.type is FileType.File}
        return {name: mark for name, mark in marks.items() if not is_hidden(name)}

    def mark(self, name: str) -> Mark | None:
        """That of the object ``name``; None where there is none."""
        from pyarrow.fs import FileType

        item = self._fs.get_file_info(self._path(name))
        return (item.size, item.mtime_ns) if item.type is FileType.File else None

    def read(self, name: str) -> bytes | None:
        """The content of the object ``name``; None where there is none."""
        try:
            with self._fs.open_input_stream(self._path(name)) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> Mark | None:
        """Put ``content`` under ``name``; readers see the old object or the new one."""
        with self._written(name) as path, self._fs.open_output_stream(path) as stream:
            stream.write(content)
        return self.mark(name)

    def upload(self, file: Path, name: str) -> Mark | None:
        """The same with the content of ``file``; None where that has gone meanwhile."""
        from pyarrow.fs import LocalFileSystem, copy_files

        if not file.is_file():
            return None
        if file.stat().st_size <= _PIECE_BYTES:
            return self.write(name, file.read_bytes())
        with self._written(name) as path:
            copy_files(str(file), path, source_filesystem=LocalFileSystem(), destination_filesystem=self._fs)
        return self.mark(name)

    def download(self, name: str, file: Path) -> bool:
        """Put the object ``name`` into ``file``, whole or not at all; False where it has gone meanwhile."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            with self._fs.open_input_stream(self._path(name)) as source, partial.open("wb") as stream:
                while piece := source.read(_PIECE_BYTES):
                    stream.write(piece)
            os.replace(partial, file)
        except FileNotFoundError:
            return False
        finally:
            partial.unlink(missing_ok=True)
        return True

    def delete(self, name: str) -> None:
        """The object ``name`` is no more."""
        with suppress(FileNotFoundError):
            self._fs.delete_file(self._path(name))

    def delete_folder(self, name: str) -> None:
        """The empty folder ``name`` is no more, where there are such."""
        with suppress(OSError):
            self._fs.delete_dir(self._path(name))

    @contextmanager
    def _written(self, name: str) -> Iterator[str]:
        """Where to write what shall appear under ``name``."""
        path = self._path(name)
        if self._fs.type_name in _WHOLE_OR_NOT:
            yield path
            return
        folder, _, last = path.rpartition("/")
        self._fs.create_dir(folder, recursive=True)
        partial = f"{folder}/.{last}.{os.getpid()}.partial"
        yield partial
        self._fs.move(partial, path)

    def _path(self, name: str) -> str:
        return "/".join(part for part in (self._root, name) if part)

    def _name(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")


def is_hidden(name: str) -> bool:
    """Whether ``name`` is of something that is no part of an experiment: locks, notes, what is only half written."""
    return any(part.startswith(".") for part in name.split("/"))


def together(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """``work`` on every item, several at a time; the first error is raised after all were tried."""
    with ThreadPoolExecutor(_TOGETHER, thread_name_prefix="store") as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


def patiently(work: Callable[[], None], uri: str) -> None:
    """``work``, tried again while the store is away.

    Raises:
        RunFailed: it was away for minutes, or refuses.
    """
    until, wait_s = time.monotonic() + _PATIENCE_S, 0.5
    while True:
        try:
            return work()
        except OSError as error:
            trouble = explained(error)
            if trouble.is_final or time.monotonic() + wait_s > until:
                raise RunFailed(f"{uri}: {trouble.found}", expected=trouble.expected, fix=trouble.fix) from error
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
