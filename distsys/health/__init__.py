"""Verdicts on a run, and :func:`watch` for any loop; nothing heavy is loaded before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distsys.health.watch import Report, watch

__all__ = ["Report", "watch"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    package = import_module("distsys.health.watch")
    globals()["watch"] = package.watch  # the import has put the package under this name
    return getattr(package, name)
