"""A signal in every phase ends the command in seconds, leaves its word, and the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from distsys.tracking.spool import read_status
from tests.chaos.signals import LONGEST_S, PHASES, SIGNALS, Phase, command, ended, environment, site

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_a_signal_ends_the_command_and_the_same_one_resumes(
    phase: Phase, number: signal.Signals, tmp_path: Path
) -> None:
    site(tmp_path)
    found = ended(phase, number, place=tmp_path, out=tmp_path / "out")
    assert (found.code, found.status) == (128 + number, "interrupted"), found
    assert found.seconds < LONGEST_S
    assert found.said.startswith(f"interrupted by signal {int(number)}; ")
    assert "Traceback" not in (tmp_path / "out" / "said").read_text()
    if any("000" in text for text in phase.arguments):
        return  # it would go on for long
    again = command(tmp_path, tmp_path / "out", phase.arguments)
    done = subprocess.run(again, capture_output=True, text=True, check=False, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    (status,) = (tmp_path / "out").glob("*/status.json")
    assert json.loads(status.read_text())["status"] == "finished"


def three_processes(out: Path, said: str) -> bool:
    """The command has tried a step, and both workers train."""
    return len(list(out.glob("process-*"))) == 3


def test_two_workers_lose_no_step(tmp_path: Path) -> None:
    site(tmp_path)
    long = ("--set", "final.steps=1500", "--set", "final.eval_every_steps=1500")
    phase = Phase("workers", ("train", "--workers", "2", *long), three_processes, "loss_terms", 0.02)
    found = ended(phase, signal.SIGTERM, place=tmp_path, out=tmp_path / "out")
    assert found.code == 143
    (folder,) = (tmp_path / "out").glob("sine-train-*")
    saved = [int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*")]
    assert saved, found.said
    assert 0 < saved[0] < 1500
    again = command(tmp_path, tmp_path / "out", phase.arguments)
    done = subprocess.run(again, capture_output=True, text=True, check=False, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"resumed at step {saved[0]} of 1500" in done.stderr


def test_a_trial_loses_no_step(tmp_path: Path) -> None:
    site(tmp_path)
    phase = next(phase for phase in PHASES if phase.name == "search")
    found = ended(phase, signal.SIGTERM, place=tmp_path, out=tmp_path / "out")
    assert found.code == 143
    assert found.seconds < LONGEST_S
    trials = list((tmp_path / "out").glob("sine-*/trials/*"))
    assert trials
    assert all(list(path.glob("checkpoints/step-*")) for path in trials), found.said
    assert {read_status(path).status for path in trials} == {"interrupted"}
