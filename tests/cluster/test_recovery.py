"""Killed at every write of the journal, and again at every write of its recovery: no trial lost, none twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from distsys.cluster.study import Study
from tests.cluster.test_study import open_study

NUM_TRIALS = 3
Write = Callable[[JournalFileBackend, list[dict[str, Any]]], None]


class Killed(BaseException):
    """What no handler of errors stops."""


def half(journal: JournalFileBackend, real: Write, logs: list[dict[str, Any]]) -> None:
    """Written, but for the second half of the last line."""
    path = Path(journal._file_path)
    real(journal, logs)
    os.truncate(path, path.stat().st_size - len(path.read_bytes().splitlines()[-1]) // 2)


def one_line(journal: JournalFileBackend, real: Write, logs: list[dict[str, Any]]) -> None:
    """Of what was to be written together, the first line alone."""
    real(journal, logs[:1])


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, *, at: int, when: str) -> Iterator[None]:
    """The process dies at its write number ``at``: before it, after it or in the middle of it."""
    real, calls = JournalFileBackend.append_logs, []

    def append(journal: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        calls.append(1)
        if len(calls) - 1 != at:
            return real(journal, logs)
        if when == "half":
            half(journal, real, logs)
        elif when == "one line":
            one_line(journal, real, logs)
        elif when == "after":
            real(journal, logs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", append)
        yield


def go_on(study: Study, seen: dict[int, dict[str, Any]], told: list[int]) -> None:
    """Ask, report and tell to the end; a number that is given again has the parameters that it had."""
    while study.remaining > 0:
        number, params = study.ask()
        assert number not in told, "a trial that was told is run again"
        assert seen.setdefault(number, params) == params
        study.report(number, step=10, value=float(number), noise_floor=0.0)
        if number == 1:
            study.prune(number, verdicts=[])
        else:
            study.complete(number, value=float(number), violations={"spread": 0.0}, verdicts=[])
        told.append(number)


def count_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    real, calls = JournalFileBackend.append_logs, []

    def append(journal: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        calls.append(1)
        real(journal, logs)

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", append)
        go_on(open_study(folder, num_trials=NUM_TRIALS), {}, [])
    return len(calls)


@pytest.mark.parametrize("when", ["before", "one line", "half", "after"])
def test_killed_at_any_write_and_again_in_the_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    (tmp_path / "twin").mkdir()
    writes = count_writes(tmp_path / "twin", monkeypatch)
    assert 3 * NUM_TRIALS <= writes <= 3 * NUM_TRIALS + 4  # an ask, a report and a tell; the study and its first trial
    for first in range(writes):
        for second in range(8):
            folder = tmp_path / f"{first}-{second}"
            folder.mkdir()
            seen: dict[int, dict[str, Any]] = {}
            told: list[int] = []
            with pytest.raises(Killed), killed(monkeypatch, at=first, when=when):
                go_on(open_study(folder, num_trials=NUM_TRIALS), seen, told)
            try:
                with killed(monkeypatch, at=second, when=when):
                    go_on(open_study(folder, num_trials=NUM_TRIALS), seen, told)
            except Killed:
                go_on(open_study(folder, num_trials=NUM_TRIALS), seen, told)
            rows = open_study(folder, num_trials=NUM_TRIALS).rows()
            assert [(row.number, row.value) for row in rows] == [(0, 0.0), (1, 1.0), (2, 2.0)], (first, second)
            assert [row.params for row in rows] == [seen[number] for number in range(NUM_TRIALS)]
            assert rows[0].params["a"] == 1.0, "the priors of the first trial are lost"


def test_a_lock_that_a_killed_writer_left_is_not_waited_for(tmp_path: Path) -> None:
    open_study(tmp_path).ask()
    lock = tmp_path / "study.log.lock"
    lock.symlink_to(tmp_path / "study.log")
    renamed = tmp_path / "study.log.lock1234.rename"
    renamed.symlink_to(tmp_path / "study.log")
    study = open_study(tmp_path)
    assert not lock.is_symlink()
    assert not renamed.is_symlink()
    go_on(study, {}, [])
    assert len(study.rows()) == 6
