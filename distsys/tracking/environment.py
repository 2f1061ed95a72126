"""What a run ran on: versions, machine and code. Never environment variables, which hold secrets."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("distsys", "torch", "ray", "optuna", "mlflow", "numpy")
GIT_TIMEOUT_S = 5.0


def environment_tags(repo: Path) -> dict[str, str]:
    """Tags of this process; the git ones are absent where ``repo`` is no checkout or git is not installed."""
    tags = {
        "env.python": platform.python_version(),
        "env.platform": platform.platform(),
        "env.num_cpus": str(os.cpu_count()),
    }
    return tags | _versions() | _git(repo)


def _versions() -> dict[str, str]:
    """By metadata: importing the packages would take seconds."""
    found = {}
    for package in PACKAGES:
        try:
            found[f"env.{package}"] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(repo: Path) -> dict[str, str]:
    commit = _git_output(repo, "rev-parse", "HEAD")
    changes = _git_output(repo, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return {}
    return {"code.commit": commit, "code.dirty": "true" if changes else "false"}


def _git_output(repo: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(repo), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
