"""How Ray's processes hear of a signal that their driver got: by a word in the cluster's memory, on whatever node."""

from __future__ import annotations

import threading
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
    from ray.experimental import internal_kv

    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            with suppress(Exception):
                if (number := internal_kv._internal_kv_get(_key(folder))) is not None:
                    note_signal(int(number))

    thread = threading.Thread(target=look, name="stop-word", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _key(folder: Path) -> bytes:
    return f"distsys-stop:{folder}".encode()
