"""A client of an MLflow store, and the SQLite file of the default one, which is there whole or not at all."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from distsys.errors import RunFailed
from distsys.files import lock, set_aside, sync_folder
from distsys.tracking.location import QUIET, file_uri

# MLflow's client otherwise waits minutes per call for a server that is away.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_PATIENCE_S = 60.0
"""For another process that makes the same file, which takes seconds."""
_VERSION = "alembic_version"
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite writes beside a file."""


def connect(uri: str) -> Any:
    """A client of the store at ``uri`` that gives up soon."""
    for name, value in (QUIET | _IMPATIENT).items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints the traceback that it raises
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def error_code(error: Exception) -> str:
    """MLflow's word for what went wrong; empty for errors of others."""
    return str(getattr(error, "error_code", ""))


def connect_file(database: Path) -> tuple[Any, str]:
    """A client of an SQLite file, which is made where there is none, and what there is to say of that.

    A file that a killed process left half made, or that is no whole database, is set aside and made again.

    Raises:
        RunFailed: another process has been making it for longer than that can take.
    """
    told = ""
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may begin at once, and one of them die: the lock goes with it.
    with lock(database.with_name(f".{database.name}.lock"), patience_s=_PATIENCE_S) as is_held:
        if not is_held:
            raise RunFailed(
                f"{database}: another process has been making it for {_PATIENCE_S:g} s",
                expected="a few seconds",
                fix="end that process, or wait for it",
            )
        if database.exists() and (wrong := _what_is_wrong(database)):
            told = f"{database} {wrong}; it is kept as {_set_aside(database).name} and made again"
        if not database.exists():
            _make(database)
    return connect(file_uri(database)), told


def _what_is_wrong(database: Path) -> str:
    """Why it cannot be used, or nothing; one that holds a run was once whole."""
    # Not only read: what a killed writer left in a journal is rolled back first.
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=30.0)) as connection:
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "runs" in tables and connection.execute("SELECT count(*) FROM runs").fetchone()[0]:
                return ""
            versions = connection.execute("SELECT * FROM alembic_version").fetchall() if _VERSION in tables else []
        except sqlite3.OperationalError:  # locked, or not to be opened: whoever writes to it will say so
            return ""
        except sqlite3.DatabaseError as error:
            return f"is damaged ({error})"
    is_whole = versions == [(_last_version(),)] and not any(name.startswith("_alembic_tmp") for name in tables)
    return "" if is_whole else "was half made"


def _last_version() -> str:
    """Of the tables, once the last of MLflow's migrations is done; each leaves its own in the file."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _set_aside(database: Path) -> Path:
    """With its journal, which holds what was written last."""
    free = set_aside(database)
    for ending in _BESIDE:
        if (beside := Path(f"{database}{ending}")).exists():
            beside.replace(f"{free}{ending}")
    return free


def _make(database: Path) -> None:
    """Tables take seconds to make: they are made under a name that nobody reads."""
    unseen = database.with_name(f".{database.name}.new")
    unseen.unlink(missing_ok=True)
    _unlink_journals(unseen)
    _unlink_journals(database)
    connect(file_uri(unseen)).search_experiments(max_results=1)
    with closing(sqlite3.connect(unseen, timeout=30.0)) as connection:
        # Readers and the writer then do not wait for each other; the setting stays in the file.
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA wal_checkpoint(truncate)")
    _unlink_journals(unseen)
    unseen.replace(database)
    sync_folder(database.parent)


def _unlink_journals(database: Path) -> None:
    """A journal without its database would be written into the next one of that name."""
    for ending in _BESIDE:
        Path(f"{database}{ending}").unlink(missing_ok=True)
