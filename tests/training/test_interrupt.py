"""Signals: an end comes in any case, a checkpoint is waited for, and forked processes keep theirs to themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distsys.errors import Interrupted
from distsys.pipeline.experiment import noted_end
from distsys.tracking.spool import RunRecord, Spool, read_status
from distsys.training.interrupt import Asked, pending_signal, signals_end_work, signals_noted

RECORD = RunRecord("train", "run", None, {}, {})
START = """
import os, signal, sys, time
from pathlib import Path
from distsys.training import interrupt
interrupt.GRACE_S = 0.3
def heedless(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            time.sleep(0.05)
        except KeyboardInterrupt:
            pass
"""


def ran(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + body], capture_output=True, text=True, check=False, timeout=20)


def test_what_does_not_stop_is_ended_and_says_so(tmp_path: Path) -> None:
    began = time.monotonic()
    done = ran(f"""
with interrupt.signals_end_work(), interrupt.told_of_end(Path({str(tmp_path / "told")!r}).write_text):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        heedless(30)
""")
    assert done.returncode == 143, done.stderr
    assert time.monotonic() - began < 20
    assert done.stderr.startswith("interrupted by signal 15; it did not stop in time")
    assert (tmp_path / "told").read_text().startswith("interrupted by signal 15")


def test_the_end_waits_for_a_checkpoint_that_is_being_written(tmp_path: Path) -> None:
    done = ran(f"""
with interrupt.signals_end_work():
    with interrupt.saving():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            heedless(1.5)
        Path({str(tmp_path / "whole")!r}).touch()
    heedless(30)
""")
    assert done.returncode == 130, done.stderr
    assert (tmp_path / "whole").exists()


def test_a_signal_to_a_forked_process_is_not_ours() -> None:
    done = ran("""
with interrupt.signals_end_work():
    child = os.fork()
    if not child:
        time.sleep(30)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    time.sleep(0.8)
    print(os.WTERMSIG(status), interrupt.pending_signal())
""")
    assert (done.returncode, done.stdout.split()) == (0, ["15", "None"]), done.stderr


def test_a_forked_process_that_goes_on_does_not_keep_the_command() -> None:
    done = ran("""
with interrupt.signals_end_work():
    child = os.fork()
    if not child:
        time.sleep(30)
os.kill(child, signal.SIGKILL)
""")
    assert done.returncode == 0, done.stderr


def test_a_second_signal_does_not_break_into_tidying_up() -> None:
    tidy = []
    with signals_end_work():
        with pytest.raises(Asked):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        tidy.append(pending_signal())
    assert tidy == [signal.SIGTERM]
    assert pending_signal() is None


def test_a_signal_that_nobody_looked_at_is_not_lost() -> None:
    with pytest.raises(Asked), signals_noted():
        os.kill(os.getpid(), signal.SIGTERM)
    assert pending_signal() is None


@pytest.mark.parametrize(
    ("raised", "becomes", "status"),
    [(KeyboardInterrupt(), Interrupted, "interrupted"), (SystemExit(4), SystemExit, "failed")],
)
def test_an_end_that_is_no_error_is_noted_too(
    tmp_path: Path, raised: BaseException, becomes: type[BaseException], status: str
) -> None:
    with pytest.raises(becomes), noted_end(Spool.open(tmp_path, RECORD)):
        raise raised
    assert read_status(tmp_path).status == status
