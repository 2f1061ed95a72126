"""Progress on a terminal, silence elsewhere."""

from __future__ import annotations

import io

import pytest

from distsys.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_count_note_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    clock = iter(float(second) for second in range(0, 100, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    stream = Terminal()
    with Console(stream=stream).bar("search", 4) as bar:
        bar.update(2, "best 0.5 dB (trial 1)")
    lines = stream.getvalue().split("\r")
    assert any("search [########........] 2/4, 20 s left  best 0.5 dB (trial 1)" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1] == ""


def test_no_progress_where_there_is_no_terminal_and_no_lines_when_quiet() -> None:
    stream = io.StringIO()
    with Console(stream=stream).bar("search", 4) as bar:
        bar.update(2, "note")
    assert stream.getvalue() == ""
    Console(stream=stream).say("kept")
    assert stream.getvalue() == "kept\n"
    Console(stream=stream, quiet=True).say("not kept")
    assert stream.getvalue() == "kept\n"


def test_a_stage_is_seen_while_it_lasts_and_only_on_a_terminal() -> None:
    stream, log = Terminal(), io.StringIO()
    for console in (Console(stream=stream), Console(stream=log), Console(stream=log, quiet=True)):
        console.stage("reading data")
        console.say("done")
        console.stage("starting Ray")
        console.clear()
        console.clear()
    assert stream.getvalue() == "\rreading data ...\r\x1b[Kdone\n\rstarting Ray ...\r\x1b[K"
    assert log.getvalue() == "done\n"
