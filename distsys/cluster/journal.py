"""Optuna's journal of a study, opened after whatever ended its last writer."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from distsys.errors import DamagedFile
from distsys.files import cut_torn_tail, full_disk_named


class _File(JournalFileBackend):
    """A journal that this process alone writes: it is read from the disk once, and lines can be written together.

    A full disk is told with the file's name, and leaves no half line in it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._is_read, self._gathers = False, False
        self._unread: list[dict[str, Any]] = []
        self._unwritten: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Everything at first, then what came since; Optuna asks for each line once, and in order."""
        if not self._is_read:
            self._is_read = True
            yield from super().read_logs(log_number_from)
        unread, self._unread = self._unread, []
        yield from unread

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._unwritten += logs
        if not self._gathers:
            self._write()
        self._unread += [json.loads(json.dumps(entry)) for entry in logs]  # as another start reads them

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Lines appended within reach the disk together at the end, by one write."""
        if self._gathers:
            yield
            return
        self._gathers = True
        try:
            yield
        finally:
            self._gathers = False
            self._write()

    def _write(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        if not unwritten:
            return
        with full_disk_named(self._path):
            try:
                super().append_logs(unwritten)
            except OSError:
                cut_torn_tail(self._path)
                raise


class Journal(JournalStorage):
    """Optuna's storage in one file."""

    def __init__(self, file: _File) -> None:
        super().__init__(file)
        self._file = file

    def gathered(self) -> AbstractContextManager[None]:
        """Within, what is told is known at once, and on the disk at the end: all of it by one write."""
        return self._file.gathered()


def open_journal(path: Path) -> Journal:
    """The storage in ``path``, made where there is none. Only one process may have it open: the experiment's lock.

    A lock of Optuna's own that a killed process left is taken away: it would be waited for, half a minute.

    Raises:
        DamagedFile: a line of it is none of Optuna's, or they do not fit each other.
    """
    for left in path.parent.glob(f"{path.name}.lock*"):
        left.unlink(missing_ok=True)
    cut_torn_tail(path)  # Optuna reads one, but after one more append the journal never opens again
    _require_whole(path)
    with full_disk_named(path):
        file = _File(path)
    try:
        return Journal(file)
    except Exception as error:  # whatever Optuna's replay meets in lines that lack others
        raise DamagedFile(f"{path}: is damaged: {type(error).__name__}: {error}") from error


def _require_whole(path: Path) -> None:
    """Optuna does not look at the last line before it has appended another one to it."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            is_entry = isinstance(json.loads(line), dict)
        except ValueError:
            is_entry = False
        if not is_entry:
            raise DamagedFile(f"{path}: is damaged: line {number} is no entry of a journal: {line[:40]!r}")
