"""Files that a crash leaves whole: atomic writes, journals whose torn last line is cut, locks between processes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path`` so that a reader, or a crash, sees the old file or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            sync(stream.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """The same for text, in UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """The same for plain values, as JSON that every language reads: what is no number is null."""
    write_text(path, json.dumps(_finite(content), indent=1, allow_nan=False))


def _finite(content: Any) -> Any:
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list | tuple) else content


def number_or_nan(value: float | None) -> float:
    """What :func:`write_json` made null, a number again."""
    return math.nan if value is None else value


def append(path: Path, content: bytes) -> None:
    """Append ``content`` with one write, or leave the file as it was: a full disk may have room again later."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, content)
            if written < len(content):
                raise OSError(f"only {written} of {len(content)} bytes could be written")
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def cut_torn_tail(path: Path) -> int:
    """Cut what follows the last newline of a journal and return its length in bytes.

    Appending to half a line would damage the next one too.
    """
    if not path.is_file():
        return 0
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    return len(content) - whole


def sync(descriptor: int) -> None:
    """Have an open file's content reach the disk; macOS needs to be asked for more than fsync."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined]  # macOS alone has it
    except (ImportError, AttributeError, OSError):
        os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Have the names in a folder reach the disk, where the system lets folders be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Whether this process alone holds the lock file ``path`` for the block; it is let go when the process dies."""
    from filelock import FileLock, Timeout

    held = FileLock(path)
    try:
        held.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


def num_cpus() -> int:
    """CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows do not say which
        return os.cpu_count() or 1
