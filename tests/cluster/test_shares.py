"""Trials that share a GPU: how many fit, what Ray is asked for, and which shares are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import ray

from distsys.cluster.nodes import Node, processes_that_fit
from distsys.cluster.session import ray_session
from distsys.cluster.trials import run_trials
from distsys.config.validate import numbers_of
from distsys.errors import ConfigError, RunFailed
from distsys.health.verdict import Verdict
from distsys.tracking.spool import RunRecord
from distsys.training.trials import Assignment, Reading
from tests.training.support import make_spec


@pytest.mark.parametrize(
    ("gpus", "wanted", "fitting"),
    [(1.0, None, 2), (0.5, None, 4), (0.125, None, 16), (0.1, None, 20), (0.3, None, 6), (0.4, 3, 3), (0.01, None, 32)],
)
def test_a_trial_lies_on_one_gpu(gpus: float, wanted: int | None, fitting: int) -> None:
    nodes = [Node("here", 32, 2, is_driver=True)]
    assert processes_that_fit(nodes, cpus=1, gpus=gpus, wanted=wanted) == fitting
    assert processes_that_fit(nodes, cpus=5, gpus=0.0) == 6


@pytest.mark.parametrize("share", ["0", "-0.5", "1.5", "2"])
def test_a_share_that_one_worker_cannot_use_is_refused(outside: Path, share: str) -> None:
    with pytest.raises(ConfigError, match=r"a worker uses one GPU at most: from 0\.01 to 1"):
        make_spec(outside, f"search.gpus_per_trial={share}")


def test_a_share_of_nothing_is_refused(outside: Path) -> None:
    with pytest.raises(ConfigError, match=r"gpus_per_trial 0\.5 shares GPUs that device: cpu leaves"):
        make_spec(outside, "search.gpus_per_trial=0.5", "device=cpu")


def test_who_shares_a_gpu_does_not_change_what_a_study_is_called(outside: Path) -> None:
    one, other = (make_spec(outside, f"search.gpus_per_trial={share}")[0] for share in ("1.0", "0.25"))
    assert numbers_of(one.config) == numbers_of(other.config)


class Asking:
    """Two trials, which end at their first validation; what each found of its GPU."""

    def __init__(self, outside: Path, folder: Path) -> None:
        self._specs = [make_spec(outside, f"seed={seed}", phase="search")[0] for seed in (0, 1)]
        self._folder, self._next = folder, 0
        self.taken: list[float] = []
        self.failed: list[Verdict] = []

    def next(self) -> Assignment | None:
        if self._next == len(self._specs):
            return None
        key = self._next
        self._next += 1
        record = RunRecord("trial", "test", None, {}, {})
        return Assignment(key, self._specs[key].content(), self._folder / str(key), record)

    def report(self, key: int, reading: Reading) -> bool:
        self.taken.append(ray.cluster_resources()["GPU"] - ray.available_resources().get("GPU", 0.0))
        return False

    def complete(self, key: int) -> None:
        """Nothing to keep."""

    def fail(self, key: int, verdict: Verdict) -> None:
        self.failed.append(verdict)


@pytest.mark.ray
@pytest.mark.slow
def test_ray_gives_a_trial_its_share(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a GPU that Ray only believes in: trials of device auto then train on the CPU."""
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    source = Asking(outside, tmp_path)
    with ray_session():  # which takes what is there, and ends it
        run_trials(source, limit=2, wanted=None, cpus=1, device="auto", gpus=0.25, say=print)
        with pytest.raises(RunFailed, match=r"no room on the cluster for one trial \(3 x CPU, 0\.25 x GPU\)"):
            run_trials(source, limit=2, wanted=None, cpus=3, device="auto", gpus=0.25, say=print)
    assert not source.failed
    assert set(source.taken) <= {0.25, 0.5}
    assert source.taken
    for key in (0, 1):
        assert json.loads((tmp_path / str(key) / "status.json").read_text())["status"] == "finished"
