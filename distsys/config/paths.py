"""Paths in a config are absolute from the moment they are read: Ray workers run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


DataPath = Annotated[Path, Field(strict=False), AfterValidator(_absolute)]
"""A file or folder named by the user, made absolute against the directory of the command."""
