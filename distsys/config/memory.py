"""How much memory a result takes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def num_bytes(root: object) -> int:
    """Bytes of all arrays and tensors that can be reached from ``root``, each counted once."""
    seen: set[object] = set()
    total, waiting = 0, [root]
    while waiting:
        item = waiting.pop()
        address, size = _memory_of(item)
        if address not in seen:
            seen.add(address)
            total += size
            waiting += _parts_of(item)
    return total


def _memory_of(item: Any) -> tuple[object, int]:
    """What tells the memory of ``item`` from that of others, and its size."""
    if hasattr(item, "untyped_storage"):
        storage = item.untyped_storage()
        return ("tensor", storage.data_ptr()), storage.nbytes()
    if hasattr(item, "__array_interface__"):
        while hasattr(item.base, "__array_interface__"):
            item = item.base
        return ("array", item.__array_interface__["data"][0]), item.nbytes
    return id(item), len(item) if isinstance(item, bytes | str) else 0


def _parts_of(item: Any) -> list[Any]:
    if isinstance(item, BaseModel | type) or hasattr(item, "__array_interface__"):
        return []
    if type(item) is dict:
        return list(item.values())
    if isinstance(item, list | tuple | set | frozenset):
        return list(item)
    return list(getattr(item, "__dict__", {}).values())
