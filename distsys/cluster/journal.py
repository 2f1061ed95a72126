"""Optuna's journal of a study, opened after whatever ended its last writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from distsys.errors import DamagedFile
from distsys.files import cut_torn_tail, full_disk_named


class _Journal(JournalFileBackend):
    """Says which file a full disk kept from being written, and leaves no half line in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with full_disk_named(self._path):
            try:
                super().append_logs(logs)
            except OSError:
                cut_torn_tail(self._path)
                raise


def open_journal(path: Path) -> JournalStorage:
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
        journal = _Journal(path)
    try:
        return JournalStorage(journal)
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
