"""Where the MLflow store is, and the command that shows it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import quote

from distsys.errors import UsageError

URI_VARIABLE = "MLFLOW_TRACKING_URI"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

# The first form is greedy because a password may itself hold "/" or "@".
_CREDENTIALS = re.compile(r"://(?:[^\s/@:]*:\S*|[^\s/]*)@")
_SECRET_ARGUMENT = re.compile(r"(?i)\b(\w*(?:password|token|secret)\w*=)[^&\s]+")


def store_uri(root: Path) -> str:
    """The store of the environment, else SQLite in ``root``, always with an absolute path."""
    return os.environ.get(URI_VARIABLE) or _own_uri(root)


def is_default(root: Path, uri: str) -> bool:
    """Whether ``uri`` is the SQLite file that belongs to ``root``."""
    return uri == _own_uri(root)


def _own_uri(root: Path) -> str:
    return file_uri(database_path(root))


def file_uri(database: Path) -> str:
    """Quoted where it must be: in a URI % begins a code and ? a query, in a folder's name they stand for themselves.

    With its driver's name then, since MLflow makes the parent of whatever begins with ``sqlite:///``, unread.
    """
    path = str(database)
    return f"sqlite:///{path}" if quote(path) == path else f"sqlite+pysqlite:///{quote(path)}"


def database_path(root: Path) -> Path:
    """The SQLite file that belongs to ``root``."""
    return root.resolve() / "mlflow.db"


def artifact_root(root: Path) -> str:
    """URI of the folder for artifacts; MLflow's own default is relative to the working directory."""
    return (root.resolve() / "mlartifacts").as_uri()


def redacted(text: str) -> str:
    """``text`` without the user names, passwords and tokens of the URIs in it."""
    return _SECRET_ARGUMENT.sub(r"\1***", _CREDENTIALS.sub("://***@", text))


def ui_command(root: Path, *, port: int) -> list[str]:
    """Arguments that serve MLflow's pages on the loopback interface; run them with ``ui_environment(root)``.

    Raises:
        UsageError: the store is a server, which shows its own pages.
    """
    uri = store_uri(root)
    if uri.startswith(("http://", "https://")):
        raise UsageError(
            f"{URI_VARIABLE} is the server {redacted(uri)}",
            expected="a database, for which pages can be served",
            fix="open that address in a browser",
        )
    serve = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, *serve]


def ui_environment(root: Path) -> dict[str, str]:
    """What ``ui_command`` needs on top of this process's environment.

    The URI goes here because other users can read arguments, and a URI may hold a password. Without job
    execution the server is two processes and 0.4 GB rather than thirteen and 1.3 GB.
    """
    return QUIET | {
        "MLFLOW_BACKEND_STORE_URI": store_uri(root),
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": artifact_root(root),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # MLflow's server warns at start about its own dependencies, which its user cannot act on.
        "PYTHONWARNINGS": "ignore",
    }
