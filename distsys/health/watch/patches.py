"""Attributes replaced for a while, and put back exactly as they were."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_ABSENT = object()
_LEFT_ALONE = frozenset(sys.stdlib_module_names - {"__main__"}) | {"torch"}


class Patches:
    """What was replaced, in order; :meth:`restore` puts everything back, the last first."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any]] = []

    def wrap(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace ``owner.name`` by ``make`` of it; what is inherited is deleted again afterwards."""
        own = vars(owner).get(name, _ABSENT)
        original = getattr(owner, name, None)
        if original is None:
            return
        self._done.append((owner, name, own))
        setattr(owner, name, functools.wraps(original)(make(original)))

    def wrap_everywhere(self, original: Any, replacement: Any) -> None:
        """Replace a function under every name that modules outside of torch imported it by."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in _LEFT_ALONE or not isinstance(module, ModuleType):
                continue
            for key, value in list(vars(module).items()):
                if value is original:
                    self._done.append((module, key, value))
                    setattr(module, key, replacement)

    def restore(self) -> None:
        """Put every attribute back."""
        while self._done:
            owner, name, own = self._done.pop()
            if own is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
