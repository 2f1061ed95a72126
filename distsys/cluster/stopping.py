"""How Ray's processes hear of a signal that their driver got: by a word in the cluster's memory, on whatever node."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distsys.training.interrupt import note_signal

_LOOK_S = 0.3


def ask_to_stop(folder: Path, number: int) -> None:
    """Have the run in ``folder`` stop for a signal, wherever it runs. Does not wait for a cluster without an answer."""
    from ray.experimental import internal_kv

    def ask() -> None:
        with suppress(Exception):
            internal_kv._internal_kv_put(_key(folder), str(number).encode(), overwrite=True)

    threading.Thread(target=ask, name="ask-to-stop", daemon=True).start()


def forget_stop(folder: Path) -> None:
    """The run in ``folder`` may begin, or go on."""
    from ray.experimental import internal_kv

    internal_kv._internal_kv_del(_key(folder))


@contextmanager
def stops_when_asked(folder: Path) -> Iterator[None]:
    """Within, the signal of :func:`ask_to_stop` is noted in this process; ``folder`` as the driver names it."""
    ended = threading.Event()
    if time.monotonic() - _looked_at[0] > _LOOK_S:  # a trial may come here many times within one wait
        _look(folder)

    def look() -> None:
        while not ended.wait(_LOOK_S):
            _look(folder)

    thread = threading.Thread(target=look, name="stop-word", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _look(folder: Path) -> None:
    from ray.experimental import internal_kv

    _looked_at[0] = time.monotonic()
    with suppress(Exception):
        if (number := internal_kv._internal_kv_get(_key(folder))) is not None:
            note_signal(int(number))


_looked_at = [0.0]
"""When this process last looked."""


def _key(folder: Path) -> bytes:
    return f"distsys-stop:{folder}".encode()
