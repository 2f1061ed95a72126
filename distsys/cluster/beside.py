"""Long calls into Ray, carried out beside the main thread, which stays free for signals and for Ray's death."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

_LOOK_S = 0.2


class _Call(Generic[Value]):
    """One call and what came of it."""

    def __init__(self, work: Callable[[], Value]) -> None:
        self._work = work
        self.done = threading.Event()
        self._value: list[Value] = []
        self._error: BaseException | None = None

    def carry_out(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as error:
            self._error = error

    def result(self) -> Value:
        if self._error is not None:
            raise self._error
        return self._value[0]


class Beside:
    """One daemon thread that carries out one call after the other.

    Ray's own processes die with the thread that started them, so that this one must live as long as they should; and
    in it Ray sets no handlers for signals.
    """

    def __init__(self) -> None:
        self.is_busy = False
        """Whether a call has not come to its end, though nobody may wait for it."""
        self._calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        threading.Thread(target=self._work, name="ray-calls", daemon=True).start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.carry_out()
            self.is_busy = False
            call.done.set()

    def call(self, work: Callable[[], Value], *, look: Callable[[], None] | None = None) -> Value:
        """What ``work`` gives or raises; ``look`` is asked every moment, and what it raises ends the waiting."""
        call = _Call(work)
        self.is_busy = True
        self._calls.put(call)
        while not call.done.wait(_LOOK_S):
            if look is not None:
                look()
        return call.result()

    def end(self) -> None:
        """No call will follow."""
        self._calls.put(None)
