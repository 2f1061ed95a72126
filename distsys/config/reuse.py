"""Results that are used again wherever the config agrees on the keys that were read for them.

Trials of a search differ in a few keys; data that none of these decides are read and made once. What is kept can be
handed to other processes, so that a node's trials share what the first process made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel

from distsys.config.layers import get_path
from distsys.config.memory import num_bytes
from distsys.config.reads import unwatched, watched
from distsys.errors import DistsysError

LIMIT_BYTES = 2 << 30
"""Arrays that are kept in one process; what was not used for longest goes first."""

ConfigT = TypeVar("ConfigT", bound=BaseModel)
Options = ParamSpec("Options")
Result = TypeVar("Result")


@dataclass(eq=False)
class Kept:
    """One result.

    Args:
        maker: module and name of the function.
        options: its other arguments.
        reads: dotted path below its config to what was found there; grows while the result is used.
        is_settled: whether it must not grow any more.
    """

    maker: str
    options: Mapping[str, Any]
    result: Any = None
    reads: dict[str, Any] = field(default_factory=dict)
    is_settled: bool = False

    def fits(self, maker: str, config: BaseModel, options: Mapping[str, Any]) -> bool:
        """Whether calling ``maker`` would read what was read before."""
        if maker != self.maker or options != self.options:
            return False
        return all(_state_at(config, path) == state for path, state in self.reads.items())


_kept: list[Kept] = []
_running = 0
"""Calls that are under way: their parts may be asked for again before they end."""


def reused(
    make: Callable[Concatenate[ConfigT, Options], Result],
) -> Callable[Concatenate[ConfigT, Options], Result]:
    """A function of a config (or a section) and keywords that is called once for all configs it cannot tell apart.

    Files and folders that the config names count with their times and sizes. The result must never be changed.
    Where it holds sections that are read later, :func:`settle` it once they were.
    """
    maker = f"{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def call(config: ConfigT, /, *args: Options.args, **options: Options.kwargs) -> Result:
        assert not args, f"{maker}: what follows the config is named"
        for known in reversed(_kept):
            if known.fits(maker, config, options):
                _kept.remove(known)
                _kept.append(known)
                found: Result = known.result
                return found
        entry = Kept(maker, options)
        made = _made(make, config, entry)
        entry.result = made
        _keep(entry)
        return made

    return call


def _made(make: Callable[..., Result], config: BaseModel, entry: Kept) -> Result:
    global _running  # noqa: PLW0603 - one count a process, as what is kept

    def note(path: str) -> None:
        if entry.is_settled and path not in entry.reads:
            raise DistsysError(
                f"'{path}' is read for the first time after the data were made ({entry.maker})",
                expected="everything that data depend on to be read while they are made, since others share them",
                fix=f"read '{path}' in build_data and keep the value",
            )
        entry.reads[path] = _state_at(config, path)

    _running += 1
    try:
        return make(watched(config, note), **entry.options)
    finally:
        _running -= 1


def settle(result: object) -> None:
    """From now on it is an error if ``result`` reads a key that was not read before: others rest on it."""
    for entry in _kept:
        if entry.result is result:
            entry.is_settled = True


def reads_of(result: object) -> Sequence[str]:
    """Dotted paths that a kept ``result`` rests on."""
    return [path for entry in _kept if entry.result is result for path in entry.reads]


def kept() -> tuple[Kept, ...]:
    """Everything there is, least used first; to be pickled for :func:`adopt` in another process."""
    return tuple(_kept)


def adopt(entries: Sequence[Kept]) -> None:
    """Take over what another process has kept."""
    for entry in entries:
        _keep(entry)


def forget() -> None:
    """Drop everything."""
    _kept.clear()


@contextmanager
def forgetting() -> Iterator[None]:
    """What is made within is dropped at the end."""
    before = list(_kept)
    try:
        yield
    finally:
        _kept[:] = before


def _keep(entry: Kept) -> None:
    _kept.append(entry)
    if _running:
        return
    while len(_kept) > 1 and num_bytes([(item.result, item.options) for item in _kept]) > LIMIT_BYTES:
        del _kept[0]


def _state_at(config: BaseModel, path: str) -> Any:
    """What stands at ``path``, files with their times and sizes; ``KeyError`` where there is nothing."""
    try:
        value = unwatched(get_path(config, path))
    except KeyError:
        return KeyError
    if isinstance(value, Path):
        return value, _files_of(value)
    if isinstance(value, list | tuple) and any(isinstance(item, Path) for item in value):
        return value, [_files_of(Path(item)) for item in value]
    return value


def _files_of(path: Path) -> list[tuple[str, int, int]]:
    """Name, time of change in ns and size in bytes of a file, or of every file in a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]
