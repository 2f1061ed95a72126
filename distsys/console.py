"""What a person sees while long work goes on: one line that moves on a terminal, nothing elsewhere."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_MIN_INTERVAL_S = 0.1
WIDTH = 80
"""Columns of a terminal."""


class Bar:
    """Progress of one piece of work: done of total, a note such as the best value, time left."""

    def __init__(self, label: str, total: int, stream: TextIO, *, live: bool) -> None:
        self._label, self._total, self._stream, self._live = label, total, stream, live
        self._started, self._drawn, self._first = time.monotonic(), 0.0, None

    _first: int | None

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` of the total is done."""
        if self._first is None:
            self._first = done
        now = time.monotonic()
        if not self._live or (now - self._drawn < _MIN_INTERVAL_S and done < self._total):
            return
        self._drawn = now
        text = f"{self._label} {self._blocks(done)} {done}/{self._total}{self._left(done, now)}  {note}"
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r" + text[:width].ljust(width))
        self._stream.flush()

    def _blocks(self, done: int) -> str:
        full = round(16 * done / self._total) if self._total else 16
        return "[" + "#" * full + "." * (16 - full) + "]"

    def _left(self, done: int, now: float) -> str:
        new = done - (self._first or 0)
        if new <= 0 or done >= self._total:
            return ""
        seconds = (now - self._started) / new * (self._total - done)
        return f", {seconds / 60:.0f} min left" if seconds > 90 else f", {seconds:.0f} s left"

    def clear(self) -> None:
        """Take the line away."""
        if self._live:
            self._stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._stream.flush()


def wrapped(text: str, *, width: int = WIDTH, indent: str = "    ") -> list[str]:
    """``text`` in lines that fit a terminal; what a line runs over into begins with ``indent``."""
    lines: list[str] = []
    for line in text.splitlines():
        parts = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        lines += parts or [""]
    return lines


def _is_notebook(stream: TextIO) -> bool:
    """Whether ``stream`` is a cell's output, in which a line can be drawn over as on a terminal."""
    return type(stream).__module__.startswith("ipykernel")


class Console:
    """Stages and progress on standard error; results go to standard output by the command itself."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = not quiet and (self._stream.isatty() or _is_notebook(self._stream))
        self._has_stage = False

    def say(self, text: str) -> None:
        """Lines that stay, unless the console is quiet; wrapped at 80 columns on a terminal, whole in a log."""
        self.clear()
        if not self._quiet:
            lines = wrapped(text) if self._live else [text]
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()

    def stage(self, text: str) -> None:
        """What is being waited for, until something else is said; a log and a quiet console are not told."""
        self.clear()
        if self._live:
            self._stream.write(f"\r{text} ...")
            self._stream.flush()
            self._has_stage = True

    def clear(self) -> None:
        """Take the stage away, before whatever comes next."""
        if self._has_stage:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._has_stage = False

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """Progress for the duration of the block."""
        self.clear()
        bar = Bar(label, total, self._stream, live=self._live)
        bar.update(0)
        try:
            yield bar
        finally:
            bar.clear()
