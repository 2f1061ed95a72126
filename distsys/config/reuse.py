"""Results that are used again wherever the config agrees on the keys that were read for them.

Trials of a search differ in a few keys; data that none of these decides are read and made once. What is kept can be
handed to other processes, so that a node's trials share what the first process made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel

from distsys.config.layers import get_path
from distsys.config.reads import watched

LIMIT_BYTES = 2 << 30
"""Arrays that are kept in one process; the oldest results go first."""

ConfigT = TypeVar("ConfigT", bound=BaseModel)
Options = ParamSpec("Options")
Result = TypeVar("Result")


@dataclass(eq=False)
class Kept:
    """One result.

    Args:
        maker: module and name of the function.
        options: its other arguments.
        reads: dotted path below its config to the value that was read there; grows while the result is used.
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
        return all(_found(config, path) == value for path, value in self.reads.items())


_kept: list[Kept] = []


def reused(
    make: Callable[Concatenate[ConfigT, Options], Result],
) -> Callable[Concatenate[ConfigT, Options], Result]:
    """A function of a config (or a section) and keywords that is called once for all configs it cannot tell apart.

    Its result must never be changed. Where it holds sections that are read later, :func:`settle` it once they were.
    """
    maker = f"{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def call(config: ConfigT, /, *args: Options.args, **options: Options.kwargs) -> Result:
        assert not args, f"{maker}: what follows the config is named"
        for known in reversed(_kept):
            if known.fits(maker, config, options):
                found: Result = known.result
                return found
        entry = Kept(maker, options)

        def note(path: str) -> None:
            assert path in entry.reads or not entry.is_settled, f"{maker}: {path} is read too late to be known"
            entry.reads[path] = get_path(config, path)

        made = make(watched(config, note), *args, **options)
        entry.result = made
        _keep(entry)
        return made

    return call


def settle(result: object) -> None:
    """From now on it is a mistake if ``result`` reads a key that was not read before: others rest on it."""
    for entry in _kept:
        if entry.result is result:
            entry.is_settled = True


def reads_of(result: object) -> Sequence[str]:
    """Dotted paths that a kept ``result`` rests on."""
    return [path for entry in _kept if entry.result is result for path in entry.reads]


def kept() -> tuple[Kept, ...]:
    """Everything there is, oldest first; to be pickled for :func:`adopt` in another process."""
    return tuple(_kept)


def adopt(entries: Sequence[Kept]) -> None:
    """Take over what another process has kept."""
    for entry in entries:
        _keep(entry)


def forget() -> None:
    """Drop everything."""
    _kept.clear()


def _keep(entry: Kept) -> None:
    _kept.append(entry)
    while len(_kept) > 1 and num_bytes([item.result for item in _kept]) > LIMIT_BYTES:
        del _kept[0]


def _found(config: BaseModel, path: str) -> Any:
    try:
        return get_path(config, path)
    except KeyError:
        return KeyError


def num_bytes(root: object) -> int:
    """Bytes of all arrays and tensors that can be reached from ``root``, each counted once."""
    seen: set[object] = set()
    total, waiting = 0, [root]
    while waiting:
        item = waiting.pop()
        address, size = _own_bytes(item)
        if address not in seen:
            seen.add(address)
            total += size
            waiting += _parts(item)
    return total


def _own_bytes(item: Any) -> tuple[object, int]:
    """What tells the memory of ``item`` from that of others, and its size."""
    if hasattr(item, "untyped_storage"):
        storage = item.untyped_storage()
        return ("tensor", storage.data_ptr()), storage.nbytes()
    if hasattr(item, "__array_interface__"):
        while hasattr(item.base, "__array_interface__"):
            item = item.base
        return ("array", item.__array_interface__["data"][0]), item.nbytes
    return id(item), len(item) if isinstance(item, bytes | str) else 0


def _parts(item: Any) -> list[Any]:
    if isinstance(item, Mapping):
        return list(item.values())
    if isinstance(item, list | tuple | set | frozenset):
        return list(item)
    is_opaque = isinstance(item, BaseModel | type) or hasattr(item, "__array_interface__")
    return [] if is_opaque else list(getattr(item, "__dict__", {}).values())
