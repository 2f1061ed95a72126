"""A background thread that keeps an MLflow store equal to the run folders, and never delays or fails their writer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from distsys.errors import DamagedFile
from distsys.tracking.ledger import Ledger
from distsys.tracking.location import redacted, store_uri
from distsys.tracking.mlflow_runs import MlflowStore, is_refusal
from distsys.tracking.spool import STATUS_FILE, read_status

PERIOD_S, LONGEST_WAIT_S = 1.0, 60.0
MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True)
class SyncResult:
    """How far the store is.

    Args:
        pending: metrics lines it lacks.
        error: why the store is away; empty if it is there.
        damaged: what is wrong with files of runs that could not be told for it.
        refused: what a store that is there said of runs that it did not take, by the name of their folder.
        notes: what was found and mended, or told again.
    """

    synced: bool
    pending: int
    error: str
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


class MlflowMirror:
    """Mirrors watched run folders into one MLflow experiment, as a context manager.

    A store that is away costs its callers nothing: all of it is told again later, by this process or by the next.
    A round looks at runs that go on and at those that were watched anew; one that ended is left alone.

    Args:
        root: folder of the default store.
        experiment_name: the MLflow experiment.
    """

    def __init__(self, root: Path, experiment_name: str) -> None:
        self._root, self._experiment_name = root, experiment_name
        self._uri = store_uri(root)
        self._folders: dict[Path, None] = {}
        self._waiting: dict[Path, None] = {}
        self._store: MlflowStore | None = None
        self._error = ""
        self._damaged: dict[Path, str] = {}
        self._refused: dict[Path, str] = {}
        self._current = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-mirror", daemon=True)

    def __enter__(self) -> MlflowMirror:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closing.is_set():
            self.close()

    def watch(self, folder: Path) -> None:
        """Mirror ``folder`` from now on, or again. A parent run named in its record is created along with it."""
        place = folder.resolve()
        self._folders[place] = None
        self._waiting[place] = None

    def close(self, timeout_s: float = 30.0) -> SyncResult:
        """Make a last attempt, wait for it at most ``timeout_s``, and say how far it came. May be called again."""
        self._closing.set()
        self._thread.join(timeout_s)
        pending = sum(Ledger.load(folder, uri=self._uri).num_pending(folder) for folder in self._folders)
        is_late = self._thread.is_alive()
        error = self._error
        if is_late and not error:
            error = f"{redacted(self._uri)} did not answer within {timeout_s:g} s"
        damaged = tuple(dict.fromkeys(self._damaged.copy().values()))  # a parent's holds for its children
        refused = {folder.name: text for folder, text in self._refused.copy().items()}
        synced = self._current and not (pending or is_late or damaged or refused)
        return SyncResult(synced, pending, error, damaged, self._notes(), refused)

    def _notes(self) -> tuple[str, ...]:
        if self._store is None:
            return ()
        again = self._store.num_told_again
        told = f"{redacted(self._uri)} lacked {again} run{'s' * (again > 1)} that it held before; told again"
        return (*self._store.notes, *([told] if again else []))

    def _run(self) -> None:
        """Push every ``PERIOD_S``, less often while that fails, and once more at the end."""
        wait_s = PERIOD_S
        last = False
        while not last:
            last = self._closing.wait(wait_s)
            self.push_news(all_of_them=last)
            wait_s = PERIOD_S if self._current else min(2 * wait_s, LONGEST_WAIT_S)

    def push_news(self, *, all_of_them: bool = False) -> None:
        """One round over what goes on and what was watched anew, or over all that was ever watched."""
        self._error = ""
        for folder in list(self._folders if all_of_them else self._waiting):
            try:
                if self._store is None:
                    self._store = MlflowStore(self._root, self._experiment_name)
                self._push(self._store, folder)
            # Whatever a store, its driver or a half-installed mlflow raises must not reach the training.
            except Exception as error:
                self._error = _message(error)
                break
        self._current = not self._error

    def _push(self, store: MlflowStore, folder: Path) -> None:
        """Push one run, or note why it cannot be told however often it is tried."""
        for known in (self._waiting, self._damaged, self._refused):  # first: who watches it meanwhile has news
            known.pop(folder, None)
        try:
            store.push(folder)
            if _goes_on(folder):
                self._waiting[folder] = None
        except DamagedFile as error:
            self._damaged[folder] = error.found
        except Exception as error:
            if is_refusal(error):
                self._refused[folder] = _message(error)
            else:
                self._waiting[folder] = None
                raise


def _goes_on(folder: Path) -> bool:
    """Whether more may be written without somebody saying so."""
    return not (folder / STATUS_FILE).exists() or read_status(folder).status == "running"


def _message(error: Exception) -> str:
    text = redacted(" ".join(str(error).split()) or type(error).__name__)
    return text[:MAX_ERROR_CHARACTERS]
