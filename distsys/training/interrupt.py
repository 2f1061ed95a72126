"""SIGINT and SIGTERM: work that has something to save is told, other work is left, and an end comes in any case."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from distsys.errors import DistsysError, Interrupted, RunFailed

GRACE_S = 4.0
"""From a signal to the end at the latest, while nothing is being saved; schedulers kill after 10 s or more."""
_SAVING_S = 60.0
"""How much longer a checkpoint may take that is being written then."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_pending: list[int] = []
_told: list[Callable[[str], None]] = []
_saving = threading.Lock()
_abandoned: list[str] = []
_ended: list[threading.Event] = []
"""Of the command whose time after a signal is bounded, if any."""


class Asked(KeyboardInterrupt):
    """Raised by a signal in the main thread where work may be left at once; libraries let it pass as Ctrl-C."""


def pending_signal() -> int | None:
    """The signal that asked the work to end, if any."""
    return _pending[0] if _pending else None


def abandon(what: str) -> None:
    """Note that ``what`` was left while it worked, so that a regular end of the process would wait for it or crash."""
    _abandoned.append(what)


def end_process(code: int) -> None:
    """Leave a process that was interrupted, or that abandoned something, at once; otherwise nothing happens."""
    if _pending or _abandoned:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def note_signal(number: int) -> None:
    """Take a signal as noted that somebody else received, the driver of this worker say."""
    if not _pending:
        _pending.append(number)


def interrupted(saved: str) -> Interrupted:
    """What a KeyboardInterrupt becomes; ``saved`` says what of the work is kept."""
    return Interrupted(pending_signal() or signal.SIGINT, saved=saved)


def raise_if_interrupted(saved: str) -> None:
    """Leave here if a signal was noted; ``saved`` says what of the work is kept.

    Raises:
        Interrupted: there was one.
    """
    if pending_signal() is not None:
        raise interrupted(saved)


@contextmanager
def signals_noted() -> Iterator[None]:
    """Within, the first signal is noted and the second one leaves; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        if _pending:
            raise Asked
        _pending.append(number)

    try:
        with _handled_by(note):
            yield
        if _pending:  # nobody looked at it any more
            raise Asked
    finally:
        if not _ended:
            _pending.clear()


@contextmanager
def signals_end_work() -> Iterator[None]:
    """Within, a signal raises :class:`Asked`, and whatever then still runs is ended after ``GRACE_S``.

    For a whole command; outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        if not _pending:  # the next ones would break into what the first one has begun to tidy up
            _pending.append(number)
            raise Asked

    with _bounded(), _handled_by(leave):
        try:
            yield
        finally:
            _pending.clear()


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def _bounded() -> Iterator[None]:
    """Watch the time from a signal on, even while the main thread is somewhere that no handler reaches."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            number = os.read(reader, 1)[0]
            if number in SIGNALS and not ended.wait(GRACE_S):
                _end_at_once(number)

    thread = threading.Thread(target=watch, name="grace", daemon=True)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _ended.append(ended)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        _ended.remove(ended)
        signal.set_wakeup_fd(before)
        os.write(writer, b"\0")  # closing it would not do: a forked process may hold it open
        thread.join()
        os.close(writer)
        os.close(reader)


def _in_child() -> None:
    """A forked process shares the pipe, and its signals are not ours."""
    if _ended:
        _ended.clear()
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_in_child)


def _end_at_once(number: int) -> None:
    """Say how it stands and end the process; what is on disk is whole at any time."""
    _saving.acquire(timeout=_SAVING_S)
    error = Interrupted(number, saved="it did not stop in time; what was saved before is kept")
    _leave(error, str(error))


def end_stuck(found: str) -> None:
    """End a process whose main thread is stuck, as nothing would reach it."""
    error = RunFailed(found, fix="mend what it waits for; the same command resumes from the last checkpoint")
    _leave(error, f"error: {error}")


def _leave(error: DistsysError, text: str) -> None:
    for tell in reversed(_told):
        with suppress(Exception):
            tell(error.found)
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
    os._exit(error.exit_code)


@contextmanager
def saving() -> Iterator[None]:
    """Within, a checkpoint is written, for which the end after a signal waits."""
    with _saving:
        yield


@contextmanager
def told_of_end(tell: Callable[[str], None]) -> Iterator[None]:
    """Within, ``tell`` is called with a message should the process have to be ended from outside the main thread."""
    _told.append(tell)
    try:
        yield
    finally:
        _told.remove(tell)
