"""SIGINT and SIGTERM: a training loop ends its step and saves, a waiting driver leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from distsys.errors import Interrupted

_pending: list[int] = []


def pending_signal() -> int | None:
    """The signal that asked the run to end, if any."""
    return _pending[0] if _pending else None


@contextmanager
def signals_noted() -> Iterator[None]:
    """Within, signals are noted instead of killing; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        _pending.append(number)

    try:
        with _handled_by(note):
            yield
    finally:
        _pending.clear()


@contextmanager
def signals_raised(saved: str) -> Iterator[None]:
    """Within, a signal raises Interrupted at once; ``saved`` says what of the work is kept."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number, saved=saved)

    with _handled_by(leave):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
