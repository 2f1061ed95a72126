"""How Ray's processes hear of a signal that their driver got: by a file in the run's folder, which all of them see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distsys.training.interrupt import note_signal

_FILE = ".stop"
_LOOK_S = 0.2


def ask_to_stop(folder: Path, number: int) -> None:
    """Have the run in ``folder`` stop for a signal, wherever it runs."""
    with suppress(OSError):
        (folder / _FILE).write_text(str(number))


def forget_stop(folder: Path) -> None:
    """The run in ``folder`` may begin, or go on."""
    (folder / _FILE).unlink(missing_ok=True)


@contextmanager
def stops_when_asked(folder: Path) -> Iterator[None]:
    """Within, the signal of :func:`ask_to_stop` is noted in this process."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            with suppress(OSError, ValueError):
                note_signal(int((folder / _FILE).read_text()))

    thread = threading.Thread(target=look, name="stop-file", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
