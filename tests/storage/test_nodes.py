"""Nodes that share nothing but a store: a search over them, and a final training on a worker of each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distsys.storage.objects import Objects
from distsys.tracking.spool import read_metrics, read_status
from tests.chaos.test_processes import site
from tests.outside import CODE

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

_MARKED = """

def _marked(plain):
    def build_model(self, config, statistics):
        import os
        from pathlib import Path
        node = Path(os.environ["DISTSYS_CACHE"]).name
        Path(os.environ["SINE_NODES"], f"{node}-{os.getpid()}").touch()
        return plain(self, config, statistics)

    return build_model


Sine.build_model = _marked(Sine.build_model)
"""


class Machines:
    """A cluster of two nodes with a CPU each, and a driver that joins it."""

    def __init__(self, folder: Path, store: str) -> None:
        self.site, self.seen, self.store, self.driver = folder / "site", folder / "seen", store, folder / "driver"
        self.seen.mkdir()
        self.site.mkdir()
        site(self.site, CODE + _MARKED)
        paths = [str(self.site), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        given = {"PYTHONPATH": os.pathsep.join(paths), "SINE_NODES": str(self.seen), "RAY_AUTH_MODE": "disabled"}
        self.environment = {**os.environ, **given, "DISTSYS_CACHE": str(self.driver)}
        os.environ.update(given)
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.caches = [folder / name for name in ("one", "two")]
        for cache in self.caches:
            self.cluster.add_node(num_cpus=1, env_vars={"DISTSYS_CACHE": str(cache)})
        self.environment["RAY_ADDRESS"] = self.cluster.address

    def command(self, *more: str) -> subprocess.Popen[str]:
        places = [str(self.site / "sine.yaml"), "--space", str(self.site / "space.yaml"), "--out", self.store]
        fixed = ["--preset", "tiny", "--workers", "2", "--no-doctor", "--json"]
        return subprocess.Popen(
            [sys.executable, "-m", "distsys", "run", *places, *fixed, *more],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def nodes(self) -> set[str]:
        return {path.name.rpartition("-")[0] for path in self.seen.iterdir()}


@pytest.fixture
def machines(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    for name in ("PYTHONPATH", "SINE_NODES", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    found = Machines(tmp_path, f"{s3}/{tmp_path.name}")
    yield found
    found.cluster.shutdown()


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, said = process.communicate(timeout=180)
    assert process.returncode == code, said
    return out, said


def test_a_search_and_a_final_training_over_nodes(machines: Machines) -> None:
    out, _ = ended(machines.command("--set", "search.trials=4", "--set", "search.reduction_factor=null"), 0)
    assert json.loads(out)["metrics"]["mae"] < 1.0
    assert machines.nodes() >= {"one", "two"}, "trials or workers of both nodes"
    (folder,) = machines.driver.glob("*/sine-tiny-*")
    trials = sorted((folder / "trials").iterdir())
    assert [read_status(trial).status for trial in trials] == ["finished"] * 4
    assert all(read_metrics(trial)[-1].step == 60 for trial in trials)
    (final,) = (folder / "final").iterdir()
    assert [line.step for line in read_metrics(final)] == [20, 40]
    there = Objects(machines.store).below(folder.name)
    assert sum(name.endswith("outcome.json") for name in there) == 4 + 3 + 1
    assert not any(list(cache.rglob("*.json*")) for cache in machines.caches), "copies that nobody needs any more"


def test_a_signal_reaches_workers_on_nodes_that_see_no_file_of_the_driver(machines: Machines) -> None:
    long = ("--set", "search.trials=2", "--set", "search.steps=20000", "--set", "search.reduction_factor=null")
    process = machines.command(*long)
    objects, until = Objects(machines.store), time.monotonic() + 120
    while sum("/trials/" in name and name.endswith("metrics.jsonl") for name in objects.below("")) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    ended(process, 143)
    assert time.monotonic() - began < 10
    steps = saved_steps(objects)
    assert len(steps) == 2, "each trial's last step is in the store"
    assert all(step % 20 or step > 20 for step in steps)


def saved_steps(objects: Objects) -> list[int]:
    """Of the newest whole checkpoint of each trial."""
    found: dict[str, Any] = {}
    for name in objects.below(""):
        parts = name.split("/")
        if "trials" in parts and parts[-1] == "manifest.json" and "checkpoints" in parts:
            found[parts[2]] = max(int(parts[-2].removeprefix("step-")), found.get(parts[2], 0))
    return list(found.values())
