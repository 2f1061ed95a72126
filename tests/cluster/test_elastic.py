"""A team of one to two workers on nodes that come and go: it takes what there is, and goes on from its checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distsys.tracking.spool import read_metrics
from tests.chaos.test_processes import site
from tests.outside import CODE

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

BATCH, STEPS, EVERY = 8, 1800, 20
_RAY_LOOKS_EVERY_S = 60
"""For room for more workers."""
_TOLD = """

_plain = Train.batch

def _slow(self, indices, *, progress):
    import os, time
    from pathlib import Path
    time.sleep(0.1)
    Path(os.environ["SINE_SHARES"], f"{len(indices)}").touch()
    return _plain(self, indices, progress=progress)

Train.batch = _slow
"""
"""A file named after how many items a worker takes of a step: a whole batch, or half of one."""


class Nodes:
    """A cluster whose head computes nothing, and a node with one CPU; a second one may come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shares = folder, folder / "shares"
        self.shares.mkdir()
        (folder / "site").mkdir()
        site(folder / "site", CODE + _TOLD)
        paths = [str(folder / "site"), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        given = {"PYTHONPATH": os.pathsep.join(paths), "SINE_SHARES": str(self.shares), "RAY_AUTH_MODE": "disabled"}
        os.environ.update(given)
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.cluster.add_node(num_cpus=1)
        self.environment = {**os.environ, "RAY_ADDRESS": self.cluster.address}

    def train(self) -> subprocess.Popen[str]:
        place = self.folder / "site"
        given = ["--preset", "tiny", "--workers", "1-2", "--json", "--out", str(self.folder / "runs")]
        given += ["--set", f"final.steps={STEPS}", "--set", f"final.eval_every_steps={EVERY}"]
        given += ["--set", f"batch_size={BATCH}"]
        return subprocess.Popen(
            [sys.executable, "-m", "distsys", "train", str(place / "sine.yaml"), *given],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def seen(self) -> set[int]:
        """Items of the shares that workers took since the last call."""
        found = {int(path.name) for path in self.shares.iterdir()}
        for path in self.shares.iterdir():
            path.unlink()
        return found


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    for name in ("PYTHONPATH", "SINE_SHARES", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    found = Nodes(tmp_path)
    yield found
    found.cluster.shutdown()


def awaited(process: subprocess.Popen[str], nodes: Nodes, share: int, *, seconds: float) -> None:
    """Come to where workers take so many items each."""
    nodes.seen()
    until, seen = time.monotonic() + seconds, set[int]()
    while share not in seen:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, f"none took {share} items in time, but {seen}"
        seen |= nodes.seen()
        time.sleep(0.5)


def test_a_team_grows_and_shrinks_with_the_cluster_and_loses_nothing(nodes: Nodes) -> None:
    process = nodes.train()
    awaited(process, nodes, BATCH, seconds=90)
    other = nodes.cluster.add_node(num_cpus=1)
    awaited(process, nodes, BATCH // 2, seconds=_RAY_LOOKS_EVERY_S + 60)
    nodes.cluster.remove_node(other, allow_graceful=False)
    awaited(process, nodes, BATCH, seconds=120)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    printed: dict[str, Any] = json.loads(out)
    assert printed["metrics"]["mae"] < 1.0
    (run,) = (path for path in (nodes.folder / "runs").iterdir() if path.is_dir() and "train" in path.name)
    assert [line.step for line in read_metrics(run)] == list(range(EVERY, STEPS + 1, EVERY))
