"""Killed on one machine, gone on with from another: the same numbers to the bit as where nothing happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distsys.storage import lease as lease_module
from distsys.storage.objects import Objects
from distsys.tracking.spool import read_metrics, read_status
from distsys.training import checkpoint

Call = Callable[..., tuple[int, str, str]]
_COMMAND = "import sys; from distsys.storage import store; store._PUSH_S = 0.1; from distsys.cli import main; main()"
_LONG = ("--set", "final.steps=12000", "--set", "final.eval_every_steps=250", "--set", "handoff.budget_share=0.003")
_OF_TIME = ("steps_per_s",)


def options(outside: Path, out: str) -> list[str]:
    """Of an experiment whose final training takes long enough to be killed in it."""
    places = [str(outside / "sine.yaml"), "--space", str(outside / "space.yaml"), "--out", out]
    return ["run", *places, "--preset", "tiny", "--local", "--no-doctor", "--json", *_LONG]


def killed(outside: Path, s3: str, cache: Path, *more: str, once: Callable[[str], bool]) -> None:
    """A driver of its own machine, killed ``once`` there is such an object in the store."""
    environment = {**os.environ, "DISTSYS_CACHE": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *options(outside, s3), *more],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    objects, until = Objects(s3), time.monotonic() + 90
    while not any(once(name) for name in objects.below("")):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def numbers(experiment: Path) -> dict[str, Any]:
    """Everything that an experiment found, without what its clock says."""
    found: dict[str, Any] = {}
    for file in sorted(experiment.rglob("metrics.jsonl")):
        lines = [
            (line.step, {k: v for k, v in line.metrics.items() if k not in _OF_TIME and not k.startswith("time/")})
            for line in read_metrics(file.parent)
        ]
        found[str(file.relative_to(experiment))] = lines
    (run,) = (experiment / "final").iterdir()
    last = checkpoint.latest(run)[0]
    assert last is not None
    found["last"] = (last.step, {name: value.tolist() for name, value in last.model.items()})
    return found


@pytest.mark.slow
@pytest.mark.promise
def test_killed_here_and_resumed_elsewhere(
    s3: str, outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said, _ = distsys(*options(outside, str(tmp_path / "twin")))
    assert code == 0
    twin = json.loads(said)
    out = f"{s3}/resumed"
    killed(outside, out, tmp_path / "machine-a", once=lambda name: "/final/" in name and name.endswith("manifest.json"))

    monkeypatch.setenv("DISTSYS_CACHE", str(tmp_path / "machine-b"))
    monkeypatch.setattr(lease_module, "STALE_S", 5.0)
    code, found, said = distsys(*options(outside, out))
    assert code == 0, said
    assert json.loads(found)["metrics"] == twin["metrics"]

    (unharmed,) = (tmp_path / "twin").glob("sine-tiny-*")
    (resumed,) = (tmp_path / "machine-b").glob("*/sine-tiny-*")
    assert numbers(resumed) == numbers(unharmed)
    (final,) = (resumed / "final").iterdir()
    assert "resumed at step" in (final / "outcome.json").read_text()
    assert read_status(resumed).status == "finished"
    assert_asked_from_the_store(f"{out}/{resumed.name}", tmp_path, twin, distsys, monkeypatch)


@pytest.mark.slow
def test_killed_in_its_search_every_trial_is_there_once(
    s3: str, outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = f"{s3}/search"
    values = ("trials=4", "reduction_factor=null", "steps=1000")
    more = [word for value in values for word in ("--set", f"search.{value}")]
    more += ["--set", "final.steps=40", "--set", "final.eval_every_steps=20"]
    killed(outside, out, tmp_path / "machine-a", *more, once=lambda name: "/0001-" in name and "outcome" in name)
    there = Objects(out)
    ended = {name: there.read(name) for name in there.below("") if name.endswith("outcome.json")}
    monkeypatch.setenv("DISTSYS_CACHE", str(tmp_path / "machine-b"))
    monkeypatch.setattr(lease_module, "STALE_S", 0.0)
    code, _, said = distsys(*options(outside, out), *more)
    assert code == 0, said
    (resumed,) = (tmp_path / "machine-b").glob("*/sine-tiny-*")
    assert sorted(path.name[:4] for path in (resumed / "trials").iterdir()) == ["0000", "0001", "0002", "0003"]
    assert all(there.read(name) == content for name, content in ended.items()), "a trial that ended was run again"
    assert {read_status(path).status for path in (resumed / "trials").iterdir()} == {"finished"}


def assert_asked_from_the_store(
    uri: str, tmp_path: Path, twin: dict[str, Any], distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third machine evaluates, predicts and looks at the curves by the experiment's URI."""
    monkeypatch.setenv("DISTSYS_CACHE", str(tmp_path / "machine-c"))
    code, found, said = distsys("evaluate", uri, "--json")
    assert code == 0, said
    assert json.loads(found)["metrics"] == twin["metrics"]
    above, _, name = uri.rpartition("/")
    code, found, _ = distsys("evaluate", name, "--out", above, "--json")
    assert json.loads(found)["metrics"] == twin["metrics"]
    code, found, said = distsys("predict", "sine", "--checkpoint", uri, "--x", "0.25", "--json")
    assert code == 0, said
    assert isinstance(json.loads(found)["y"], float)
    code, found, said = distsys("doctor", "--run", uri, "--json")
    assert code in (0, 3), said
    assert json.loads(found)[0]["points"] > 100
