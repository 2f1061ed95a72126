"""A result as a person or a program reads it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distsys.errors import UsageError


def show(options: Any, plain: Any, text: str) -> None:
    """Print ``plain`` values for ``--json``, ``text`` otherwise."""
    print(json.dumps(plain, indent=1, default=str) if options.json else text)


def require_writable(folder: Path, *, option: str) -> None:
    """Raise UsageError where nothing can be written below ``folder``, which need not exist; leaves no trace.

    Args:
        option: what named it, for the message.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{option}: {there} is a file", expected="a folder, or a path that can become one")
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"{option}: nothing can be written to {there}: {reason}",
            expected="a folder with free space that this user may write to",
            fix="name another one, or change its permissions",
        ) from None


def write_answer(path: Path, files: Mapping[str, str | bytes]) -> int:
    """Write what ``files`` hold for the suffix of ``path``; gives its size in bytes."""
    suffix = path.suffix.lower()
    if suffix not in files:
        what = f"no format '{path.suffix}'" if path.suffix else "no suffix, which picks the format"
        raise UsageError(f"-o {path}: {what}", expected=f"one of {', '.join(files)}")
    content = files[suffix]
    try:
        return path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"-o {path}: {error.strerror}", expected="a file in a folder that can be written") from None
