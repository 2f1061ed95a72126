"""Files that a crash leaves whole: atomic writes, damage that is named, torn last lines, locks between processes."""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from distsys.errors import DamagedFile, DiskFull

_Content = TypeVar("_Content")
_PARTIAL = ".partial"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNREAD = (KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError)
"""What readers raise where the content of a file is not what its writer put there."""


def write_bytes(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path`` so that a reader, or a crash, sees the old file or the new one.

    Raises:
        DiskFull: there is no space; the old file stands.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    with full_disk_named(path):
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                sync(stream.fileno())
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def clear_partial(folder: Path) -> None:
    """Remove what killed processes left of files, and of folders of checkpoints, anywhere below ``folder``."""
    for path in list(folder.rglob(f".*{_PARTIAL}")):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """A full disk within the block is a ``DiskFull`` that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull.at(path) from error


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


def read_json(path: Path, parse: Callable[[dict[str, Any]], _Content], *, fix: str) -> _Content:
    """What ``parse`` makes of the JSON object in ``path``, which distsys wrote itself.

    Args:
        fix: what makes the file again, or does without it.

    Raises:
        DamagedFile: it cannot be read, is no JSON object, or ``parse`` does not find in it what was written.
    """
    expected = "the JSON object that distsys wrote"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        found = f"{path}: is damaged: {_what_is_wrong(path, error)}"
        raise DamagedFile(found, expected=expected, fix=fix) from error
    if not isinstance(content, dict):
        raise DamagedFile(f"{path}: is damaged: holds a {type(content).__name__}", expected=expected, fix=fix)
    try:
        return parse(content)
    except _UNREAD as error:
        missing = f"lacks {error}" if isinstance(error, KeyError) else f"holds something else: {error}"
        raise DamagedFile(f"{path}: is damaged: {missing}", expected=expected, fix=fix) from error


def _what_is_wrong(path: Path, error: Exception) -> str:
    is_empty = not isinstance(error, OSError) and path.stat().st_size == 0
    return "it is empty" if is_empty else str(error) or type(error).__name__


def read_or_set_aside(
    path: Path, read: Callable[[], _Content], *, say: Callable[[str], None], then: str
) -> _Content | None:
    """What ``read`` finds in ``path``; where it is damaged None, once it is set aside and that is said.

    Args:
        then: what happens next, as it stands of the file that could be read no more.
    """
    try:
        return read()
    except DamagedFile as error:
        say(f"{error.found}; kept as {set_aside(path).name}, {then}")
        return None


def set_aside(path: Path) -> Path:
    """Give a damaged file a name that nobody reads; earlier ones keep theirs."""
    names = [path.with_name(f"{path.name}.damaged{number or ''}") for number in range(1000)]
    free = next(name for name in names if not name.exists())
    os.replace(path, free)
    return free


def append(path: Path, content: bytes) -> None:
    """Append ``content`` with one write, or leave the file as it was: a full disk may have room again later.

    Raises:
        DiskFull: there is no space.
    """
    with full_disk_named(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _append(descriptor, content)
        finally:
            os.close(descriptor)


def _append(descriptor: int, content: bytes) -> None:
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, content)
        if written < len(content):  # the next write would say so, and there is no next one
            raise OSError(errno.ENOSPC, f"only {written} of {len(content)} bytes could be written")
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def sync_file(path: Path) -> None:
    """Have what was appended to ``path``, if anything was, reach the disk."""
    if path.is_file():
        with path.open("rb") as stream:
            sync(stream.fileno())


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
def lock(path: Path, *, patience_s: float = 0.0) -> Iterator[bool]:
    """Whether this process alone holds the lock file ``path`` for the block; it is let go when the process dies."""
    from filelock import FileLock, Timeout

    held = FileLock(path)
    try:
        held.acquire(timeout=patience_s)
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


def processor() -> str:
    """What the processor can do, as far as the system tells: code made for one may end another's process."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.machine()} {flags}"
