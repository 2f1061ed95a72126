"""Stopgap."""

from pathlib import Path


def environment_tags(repo: Path) -> dict[str, str]:
    return {}
