"""SIGINT and SIGTERM are noted, and whoever works looks at the note where it can stop without loss."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from distsys.errors import Interrupted

_pending: list[int] = []


def pending_signal() -> int | None:
    """The signal that asked the work to end, if any."""
    return _pending[0] if _pending else None


def raise_if_interrupted(saved: str) -> None:
    """Leave here if a signal was noted; ``saved`` says what of the work is kept.

    Raises:
        Interrupted: there was one.
    """
    if (number := pending_signal()) is not None:
        raise Interrupted(number, saved=saved)


@contextmanager
def signals_noted() -> Iterator[None]:
    """Within, the first signal is noted and the second one kills; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        if _pending:
            raise KeyboardInterrupt
        _pending.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
        _pending.clear()
