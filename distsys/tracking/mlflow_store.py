"""A background thread that keeps an MLflow store equal to the run folders, and never delays or fails their writer."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from distsys.tracking.ledger import Ledger
from distsys.tracking.location import redacted, store_uri
from distsys.tracking.mlflow_runs import MlflowStore, is_refusal

PERIOD_S, LONGEST_WAIT_S = 1.0, 60.0
MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True)
class SyncResult:
    """How far the store is: ``pending`` counts metrics lines it lacks, ``error`` says why (empty if nothing)."""

    synced: bool
    pending: int
    error: str


class MlflowMirror:
    """Mirrors watched run folders into one MLflow experiment, as a context manager.

    A store that is away costs its callers nothing: all of it is told again later, by this process or by the next.

    Args:
        root: folder of the default store.
        experiment_name: the MLflow experiment.
    """

    def __init__(self, root: Path, experiment_name: str) -> None:
        self._root, self._experiment_name = root, experiment_name
        self._uri = store_uri(root)
        self._folders: dict[Path, None] = {}
        self._store: MlflowStore | None = None
        self._error = ""
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
        """Mirror ``folder`` from now on. A parent run named in its record is created along with it."""
        self._folders[folder.resolve()] = None

    def close(self, timeout_s: float = 30.0) -> SyncResult:
        """Make a last attempt, wait for it at most ``timeout_s``, and say how far it came. May be called again."""
        self._closing.set()
        self._thread.join(timeout_s)
        pending = sum(Ledger.load(folder, uri=self._uri).num_pending(folder) for folder in self._folders)
        if self._thread.is_alive():
            unanswered = f"{redacted(self._uri)} did not answer within {timeout_s:g} s"
            return SyncResult(synced=False, pending=pending, error=self._error or unanswered)
        return SyncResult(synced=self._current and pending == 0, pending=pending, error=self._error)

    def _run(self) -> None:
        """Push every ``PERIOD_S``, less often while that fails, and once more at the end."""
        wait_s = PERIOD_S
        last = False
        while not last:
            last = self._closing.wait(wait_s)
            self._error = self._push_all()
            self._current = not self._error
            wait_s = PERIOD_S if self._current else min(2 * wait_s, LONGEST_WAIT_S)

    def _push_all(self) -> str:
        """One round over the folders; what went wrong first, or nothing."""
        errors = []
        for folder in list(self._folders):
            try:
                if self._store is None:
                    self._store = MlflowStore(self._root, self._experiment_name)
                self._store.push(folder)
            # Whatever a store, its driver or a half-installed mlflow raises must not reach the training.
            except Exception as error:
                errors.append(_message(error))
                if not is_refusal(error):
                    break
        return errors[0] if errors else ""


def _message(error: Exception) -> str:
    text = redacted(" ".join(str(error).split()) or type(error).__name__)
    return text[:MAX_ERROR_CHARACTERS]
