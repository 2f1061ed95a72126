"""Trials of several workers: the numbers of one, reused from trial to trial, and honest about who failed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distsys.cluster.session import ray_session
from distsys.cluster.trials import run_trials
from distsys.config.validate import numbers_of
from distsys.errors import ConfigError, RunFailed
from distsys.health.verdict import Verdict
from distsys.pipeline.capacity import capacity_for
from distsys.tracking.spool import RunRecord, read_metrics, read_status
from distsys.training.loop import fit
from distsys.training.team import Team
from distsys.training.trials import Assignment, Reading
from tests.chaos.kills import processes_of
from tests.outside import CODE
from tests.training.support import make_context, make_spec

_FAULTS = """

def _faulty(plain):
    def loss_terms(self, outputs, batch, *, config):
        import torch.distributed as dist
        if config.data.edge == 0.02 and dist.is_initialized() and dist.get_rank() == 1:
            raise ValueError("the second worker met a bad item")
        return plain(self, outputs, batch, config=config)
    return loss_terms

Sine.loss_terms = _faulty(Sine.loss_terms)
"""


@pytest.fixture(scope="module")
def cluster(outside: Path) -> Iterator[None]:
    package = outside / "sine_domain" / "__init__.py"
    package.write_text(CODE + _FAULTS)
    try:
        with ray_session():
            yield
    finally:
        package.write_text(CODE)


class Given:
    """Trials to be carried out, one a set of overrides, and what became of them."""

    def __init__(self, outside: Path, folder: Path, *settings: tuple[str, ...]) -> None:
        self.specs = [make_spec(outside, "search.workers_per_trial=2", *more, phase="search")[0] for more in settings]
        self.folder, self._next = folder, 0
        self.completed: list[int] = []
        self.failed: dict[int, Verdict] = {}
        self.deadly = False

    def next(self) -> Assignment | None:
        if self._next == len(self.specs):
            return None
        key = self._next
        self._next += 1
        record = RunRecord("trial", f"trial-{key}", None, {}, {})
        return Assignment(key, self.specs[key].content(), self.folder / str(key), record)

    def report(self, key: int, reading: Reading) -> bool:
        if self.deadly:
            self.deadly = False
            (other,) = (number for number, text in processes_of(None).items() if text.startswith("ray::_Other"))
            (self.folder / str(key) / ".status.json.1.partial").touch()
            os.kill(other, signal.SIGKILL)
        return False

    def complete(self, key: int) -> None:
        self.completed.append(key)

    def fail(self, key: int, verdict: Verdict) -> None:
        self.failed[key] = verdict

    def carried_out(self) -> list[str]:
        said: list[str] = []
        run_trials(self, limit=len(self.specs), wanted=None, cpus=1, device="cpu", gpus=1.0, say=said.append, workers=2)
        return said


@pytest.mark.ray
@pytest.mark.slow
def test_two_workers_a_trial_find_what_one_does(cluster: None, outside: Path, tmp_path: Path) -> None:
    given = Given(outside, tmp_path, ("seed=0",), ("seed=1",))
    assert given.carried_out() == []
    assert given.completed == [0, 1]
    for key in (0, 1):
        fit(make_context(outside, tmp_path / f"alone-{key}", f"seed={key}", phase="search"))
        one, two = (
            [line.metrics["mae"] for line in read_metrics(tmp_path / name)] for name in (f"alone-{key}", f"{key}")
        )
        assert torch.allclose(torch.tensor(one), torch.tensor(two), rtol=1e-5, atol=1e-6)
        assert (tmp_path / f"{key}" / "outcome.json").is_file()


@pytest.mark.ray
@pytest.mark.slow
def test_who_failed_is_named_and_the_next_trial_goes_on(cluster: None, outside: Path, tmp_path: Path) -> None:
    given = Given(outside, tmp_path, ("data.edge=0.02",), ("seed=1",))
    assert given.carried_out() == []
    assert given.completed == [1]
    expected = "failed: ValueError: the second worker met a bad item"
    assert str(given.failed[0]).startswith(expected)
    assert read_status(tmp_path / "0").message.startswith(expected)


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_that_dies_costs_no_trial(cluster: None, outside: Path, tmp_path: Path) -> None:
    given = Given(outside, tmp_path, ("search.steps=400",))
    given.deadly = True
    (said,) = given.carried_out()
    assert said.startswith("trial-0: its process died")
    assert given.completed == [0]
    assert [line.step for line in read_metrics(tmp_path / "0")] == list(range(20, 401, 20))
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.ray
@pytest.mark.slow
def test_more_workers_than_there_is_room_for_are_refused(cluster: None, outside: Path, tmp_path: Path) -> None:
    given = Given(outside, tmp_path, ())
    with pytest.raises(RunFailed, match=r"no room on the cluster for one trial \(1 x CPU, 64 times\)"):
        run_trials(given, limit=1, wanted=None, cpus=1, device="cpu", gpus=1.0, say=print, workers=64)


def test_what_does_not_fit_is_refused_before_any_work(outside: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.workers_per_trial 3 does not divide batch_size 32"):
        make_spec(outside, "search.workers_per_trial=3")
    with pytest.raises(ConfigError, match=r"workers_per_trial 2 times accumulate 32 does not divide batch_size 32"):
        make_spec(outside, "search.workers_per_trial=2", "accumulate=32")
    with pytest.raises(ConfigError, match="workers that share a batch have a whole GPU each"):
        make_spec(outside, "search.workers_per_trial=2", "search.gpus_per_trial=0.5")
    config = make_spec(outside, "search.workers_per_trial=32")[0].config
    with pytest.raises(ConfigError, match="no room for a trial of 32 workers of 1 CPU each"):
        capacity_for(config, team=Team(), is_local=False)


def test_their_number_does_not_change_what_a_trial_is_called(outside: Path) -> None:
    one, other = (make_spec(outside, f"search.workers_per_trial={number}")[0] for number in (1, 2))
    assert numbers_of(one.config) == numbers_of(other.config)
    assert one.identity == other.identity
