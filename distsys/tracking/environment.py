"""Where a run was made: versions, machine and commit. Never environment variables, which hold secrets."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("distsys", "torch", "numpy", "scipy", "ray", "optuna", "mlflow")


def environment_tags(source: Path) -> dict[str, str]:
    """Versions, platform and processor count, and the commit of the git checkout ``source`` lies in."""
    tags = {
        "env.python": platform.python_version(),
        "env.platform": platform.platform(),
        "env.cpus": str(len(os.sched_getaffinity(0))),
    }
    tags |= {f"env.{name}": found for name in _PACKAGES if (found := _version(name))}
    if commit := _git(source, "rev-parse", "HEAD"):
        tags["git.commit"] = commit
        tags["git.dirty"] = str(bool(_git(source, "status", "--porcelain")))
    return tags


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(source: Path, *arguments: str) -> str:
    command = ["git", "-C", str(source), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
