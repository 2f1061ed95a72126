"""Processes that die or hang: named, survived where that is possible, and nothing of them stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distsys.tracking.spool import read_status
from tests.chaos.signals import command, environment
from tests.outside import CODE, install

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

_FAULTS = """

def _faulty(plain):
    def loss_terms(self, outputs, batch, *, config):
        import os, signal, time
        from distsys.training import stuck
        import sys
        stuck.LONGEST_S = 1.0
        fault = os.environ.get("SINE_FAULT")
        is_driver = "ray" not in sys.modules or not __import__("ray").is_initialized()
        loss_terms.calls += 1
        if fault and is_driver == (fault == "hang alone") and loss_terms.calls > 30:
            if fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            waits_for_a_disk = lambda: time.sleep(300)
            waits_for_a_disk()
        return plain(self, outputs, batch, config=config)

    loss_terms.calls = 0
    return loss_terms


Sine.loss_terms = _faulty(Sine.loss_terms)
"""
_UNUSED = CODE.replace("return nn.Sequential(*layers)", "return Spare(layers)").replace(
    "class Sine:",
    "class Spare(nn.Sequential):\n"
    "    def __init__(self, layers):\n"
    "        super().__init__(*layers)\n"
    "        self.extra = nn.Linear(3, 2)\n\n"
    "    def forward(self, x):\n"
    "        for name in '0123':\n"
    "            x = self._modules[name](x)\n"
    "        return x\n\n\n"
    "class Sine:",
)


def site(folder: Path, code: str) -> None:
    install(folder)
    (folder / "sine_domain" / "__init__.py").write_text(code)


def ran(place: Path, *arguments: str, out: str = "out", **more: str) -> subprocess.CompletedProcess[str]:
    given = command(place, place / out, arguments)
    return subprocess.run(given, capture_output=True, text=True, check=False, env=environment(place, **more))


@pytest.mark.parametrize(("fault", "cause", "deaths"), [("die", "its process died", 3), ("hang", "it was stuck", 2)])
def test_a_trial_whose_process_keeps_dying_fails_with_the_cause(
    tmp_path: Path, fault: str, cause: str, deaths: int
) -> None:
    site(tmp_path, CODE + _FAULTS)
    done = ran(tmp_path, "search", "--set", "search.trials=1", "--set", "search.concurrent_trials=1", SINE_FAULT=fault)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("trial-0000: its process ") for line in done.stderr.splitlines()) == deaths
    (folder,) = (tmp_path / "out").glob("*/trials/0000-*")
    status = read_status(folder)
    assert status.status == "failed"
    assert status.verdicts[0].cause == f"failed: {cause}"
    if fault == "hang":
        assert "waits_for_a_disk" in (folder / "artifacts" / "stuck.txt").read_text()
        assert "no step for " in status.message


def test_a_training_that_hangs_in_the_command_itself_ends_it(tmp_path: Path) -> None:
    site(tmp_path, CODE + _FAULTS)
    done = ran(tmp_path, "train", "--local", SINE_FAULT="hang alone")
    assert done.returncode == 1
    assert re.search(r"^error: no step for \d+ s, in ", done.stderr, re.MULTILINE), done.stderr
    assert "fix: mend what it waits for; the same command resumes" in done.stderr
    (folder,) = (tmp_path / "out").glob("sine-train-*")
    assert read_status(folder).status == "interrupted"
    assert "waits_for_a_disk" in (folder / "artifacts" / "stuck.txt").read_text()
    assert ran(tmp_path, "train", "--local").returncode == 0


def driver_in_a_search(place: Path) -> subprocess.Popen[bytes]:
    long = ("--set", "search.steps=100000", "--set", "search.eval_every_steps=100")
    with (place / "said").open("wb") as stream:
        process = subprocess.Popen(
            command(place, place / "out", ("search", *long)),
            stdout=subprocess.DEVNULL,
            stderr=stream,
            env=environment(place, RAY_TMPDIR=str(place / "ray")),
            start_new_session=True,
        )
    _until(lambda: any((place / "out").glob("*/trials/*/metrics.jsonl")), process)
    return process


def _until(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)


def processes_of(place: Path) -> dict[int, str]:
    """Those that Ray started with files in ``place``, and their children."""
    found: dict[int, str] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            text = (entry / "cmdline").read_text().replace("\0", " ")
            if f"{place}/ray/" in text or f"{place}/ray/" in (entry / "environ").read_text():
                found[int(entry.name)] = text
        except OSError:
            continue
    return found


def test_a_raylet_that_dies_ends_the_search_with_a_message(short: Path) -> None:
    site(short, CODE)
    driver = driver_in_a_search(short)
    (raylet,) = [number for number, text in processes_of(short).items() if "/raylet/raylet " in text]
    os.kill(raylet, signal.SIGKILL)
    began = time.monotonic()
    assert driver.wait(60) == 1
    assert time.monotonic() - began < 20
    said = (short / "said").read_text()
    assert said.splitlines()[-2:][0].startswith("error: Ray's raylet died")
    assert "Traceback" not in said
    assert [read_status(path).status for path in (short / "out").glob("*/trials/*")].count("running") == 0
    assert list((short / "ray").iterdir()) == []


def test_the_next_command_removes_what_a_killed_driver_left(short: Path) -> None:
    site(short, CODE)
    driver = driver_in_a_search(short)
    driver.kill()
    driver.wait()
    assert list((short / "ray").glob("dsy-*"))
    done = ran(short, "search", "--set", "search.trials=1", RAY_TMPDIR=str(short / "ray"))
    assert done.returncode == 0, done.stderr
    assert list((short / "ray").iterdir()) == []
    assert processes_of(short) == {}


def test_parameters_that_no_term_reaches_are_named_on_two_workers(tmp_path: Path) -> None:
    site(tmp_path, _UNUSED)
    done = ran(tmp_path, "train", "--workers", "2")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("error: parameters without gradient: extra.weight, extra.bias; ")
    assert "Traceback" not in done.stderr


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as name:
        (Path(name) / "ray").mkdir()
        yield Path(name)
