"""A run that takes no step for long is noticed by a thread beside it, which says where it stands."""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST_S = 60.0
"""No step, or no batch of it, may take longer, unless the run's steps are slow anyway."""
LONGEST_STEPS = 20
"""Nor longer than this many of its usual steps."""
FIRST_S = 600.0
"""The same for a first step or validation, in which caches fill and kernels are compiled."""
_LOOK_S = 0.5
_NOTE = "stuck.note"
STUCK_EXIT = 75
"""Exit code of a process that ends itself because it is stuck (EX_TEMPFAIL)."""


class Watch:
    """Times the pieces of one run, and ends its process where one takes too long.

    Args:
        folder: the run's; a line for whoever starts the process again and artifacts/stuck.txt are left in it.
        name: of this worker, for messages; empty when it is the only one.
    """

    def __init__(self, folder: Path, *, name: str = "") -> None:
        self._folder, self._name = folder, name
        self._thread_id = threading.get_ident()
        self._piece: tuple[str, float] | None = None
        self._took: dict[str, list[float]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="stuck-watch", daemon=True)
        self._thread.start()

    @contextmanager
    def piece(self, kind: str) -> Iterator[None]:
        """A piece of work of one ``kind``, ``step`` say, in the thread that made this."""
        began = time.monotonic()
        self._piece = (kind, began)
        try:
            yield
        finally:
            self._piece = None
        took = self._took.setdefault(kind, [])
        took.append(time.monotonic() - began)
        del took[:-LONGEST_STEPS]

    def close(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._thread.join()

    def limit_s(self, kind: str) -> float:
        """How long the next piece of ``kind`` may take."""
        took = self._took.get(kind, [])
        if len(took) < 2:
            return FIRST_S
        least = LONGEST_S if kind == "step" else FIRST_S
        return max(least, LONGEST_STEPS * statistics.median(took))

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_S):
            piece = self._piece
            if piece is not None and time.monotonic() - piece[1] > self.limit_s(piece[0]):
                self._found(piece[0], time.monotonic() - piece[1])
                return

    def _found(self, kind: str, seconds: float) -> None:
        frame = sys._current_frames().get(self._thread_id)
        stack = traceback.extract_stack(frame) if frame else traceback.StackSummary()
        at = stack[-1] if stack else None
        where = f"{at.filename}:{at.lineno} in {at.name}" if at else "nowhere"
        who = f"{self._name}: " if self._name else ""
        text = f"{who}no {kind} for {seconds:.0f} s, in {where}"
        with suppress(OSError):
            (self._folder / _NOTE).write_text(text, encoding="utf-8")
            (self._folder / "artifacts").mkdir(parents=True, exist_ok=True)
            lines = "".join(stack.format())
            (self._folder / "artifacts" / "stuck.txt").write_text(f"{text}\n{lines}", encoding="utf-8")
        _ends[-1](text)


@contextmanager
def stuck_ends(end: Callable[[str], None]) -> Iterator[None]:
    """Within, ``end`` is called with what a run of this process is stuck in; elsewhere that is only said."""
    _ends.append(end)
    try:
        yield
    finally:
        _ends.remove(end)


@contextmanager
def watched(folder: Path, *, name: str = "") -> Iterator[Watch]:
    """A :class:`Watch` for the block."""
    watch = Watch(folder, name=name)
    try:
        yield watch
    finally:
        watch.close()


def take_stuck(folder: Path) -> str:
    """What a process that ended itself in ``folder`` was stuck in, once; empty where it was not."""
    path = folder / _NOTE
    try:
        text = path.read_text(encoding="utf-8")
        path.unlink()
    except OSError:
        return ""
    return text


def end_worker(text: str) -> None:
    """For processes that somebody else starts again."""
    os._exit(STUCK_EXIT)


def _say(text: str) -> None:
    sys.stderr.write(f"WARNING: {text}\n")


_ends: list[Callable[[str], None]] = [_say]
