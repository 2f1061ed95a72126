"""Hyper-parameter search and training of signal models on Ray that refuses to crown a sick model."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from distsys.interface import compare, evaluate, extend, final, load_experiment, predict, run, search

__all__ = ["compare", "evaluate", "extend", "final", "load_experiment", "predict", "run", "search"]


def __getattr__(name: str) -> Any:
    """What :mod:`distsys.interface` offers, at its first use: a bare import costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'distsys' has no attribute '{name}'")
    from distsys import interface

    return getattr(interface, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
