"""Ray Train runs the same loop: one worker to the bit, two workers within a stated tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distsys.cluster.session import ray_session
from distsys.cluster.train import fit_on_workers
from distsys.errors import ConfigError
from distsys.tracking.spool import RunRecord
from distsys.training.loop import fit
from tests.training.support import make_context, make_spec
from tests.training.test_loop import assert_same_weights, numbers, weights

TOLERANCE = 1e-4
"""Relative difference of weights after 120 steps: two workers add their gradients in another order."""

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.promise, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster(outside: Path) -> Iterator[None]:
    with ray_session():
        yield


def through_ray(outside: Path, folder: Path, num_workers: int, *overrides: str) -> None:
    spec, _ = make_spec(outside, *overrides)
    record = RunRecord("train", "test", None, {}, {})
    fit_on_workers(spec, folder=folder, record=record, num_workers=num_workers, device="cpu")


def test_one_worker_equals_the_local_loop_to_the_bit(cluster: None, outside: Path, tmp_path: Path) -> None:
    fit(make_context(outside, tmp_path / "local", "model.dropout=0.2"))
    through_ray(outside, tmp_path / "ray", 1, "model.dropout=0.2")
    assert numbers(tmp_path / "local") == numbers(tmp_path / "ray")
    assert_same_weights(tmp_path / "local", tmp_path / "ray", 120)


def test_two_workers_equal_one_with_twice_the_batch(cluster: None, outside: Path, tmp_path: Path) -> None:
    fit(make_context(outside, tmp_path / "one"))
    through_ray(outside, tmp_path / "two", 2)
    one, two = weights(tmp_path / "one", 120), weights(tmp_path / "two", 120)
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=TOLERANCE, atol=TOLERANCE), name
    assert numbers(tmp_path / "one")[-1][1]["mae"] == pytest.approx(numbers(tmp_path / "two")[-1][1]["mae"], rel=1e-3)


def test_an_error_of_the_users_comes_back_as_itself(cluster: None, outside: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size = 33 over 2 workers"):
        through_ray(outside, tmp_path / "two", 2, "batch_size=33")
