"""Attributes replaced for a while, and put back exactly as they were."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_ABSENT = object()


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

    def restore(self) -> None:
        """Put every attribute back."""
        while self._done:
            owner, name, own = self._done.pop()
            if own is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
