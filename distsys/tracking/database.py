"""A client of an MLflow store, and the SQLite file of the default one, which is there whole or not at all."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from distsys.files import lock, set_aside
from distsys.tracking.location import QUIET

# MLflow's client otherwise waits minutes per call for a server that is away.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_PATIENCE_S = 60.0
"""For another process that makes the same file, which takes seconds."""
_VERSION = "alembic_version"


def connect(uri: str) -> Any:
    """A client of the store at ``uri`` that gives up soon."""
    for name, value in (QUIET | _IMPATIENT).items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def error_code(error: Exception) -> str:
    """MLflow's word for what went wrong; empty for errors of others."""
    return str(getattr(error, "error_code", ""))


def connect_file(database: Path) -> tuple[Any, str]:
    """A client of an SQLite file, which is made where there is none, and what there is to say of that.

    A file without a single run in which a killed process left its tables half made is set aside and made again.
    """
    told = ""
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may begin at once, and one of them die: the lock goes with it.
    with lock(database.with_name(f".{database.name}.lock"), patience_s=_PATIENCE_S):
        if database.exists() and _is_half_made(database):
            told = f"{database} was half made; it is kept as {set_aside(database).name} and made again"
        if not database.exists():
            _make(database)
    return connect(_uri(database)), told


def _is_half_made(database: Path) -> bool:
    """Whether no run is in it, and it was left in the middle of a migration (Alembic's own tables tell)."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30.0)) as connection:
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "runs" in tables and connection.execute("SELECT count(*) FROM runs").fetchone()[0]:
                return False
            versions = connection.execute("SELECT * FROM alembic_version").fetchall() if _VERSION in tables else []
        except sqlite3.DatabaseError as error:
            return "not a database" in str(error)
    return not versions or any(name.startswith("_alembic_tmp") for name in tables)


def _make(database: Path) -> None:
    """Tables take seconds to make: they are made under a name that nobody reads."""
    unseen = database.with_name(f".{database.name}.new")
    for left in (*database.parent.glob(f"{unseen.name}*"), *database.parent.glob(f"{database.name}-*")):
        left.unlink(missing_ok=True)  # a journal without its database would be written into the next one
    connect(_uri(unseen)).search_experiments(max_results=1)
    with closing(sqlite3.connect(unseen, timeout=30.0)) as connection:
        # Readers and the writer then do not wait for each other; the setting stays in the file.
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA wal_checkpoint(truncate)")
    unseen.replace(database)
    for left in database.parent.glob(f"{unseen.name}-*"):
        left.unlink(missing_ok=True)


def _uri(database: Path) -> str:
    return f"sqlite:///{database}"
