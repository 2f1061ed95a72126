"""Ray Train runs the same loop: one worker to the bit, two workers within a stated tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distsys.cluster.session import ray_session
from distsys.cluster.train import fit_on_workers
from distsys.errors import ConfigError, RunFailed
from distsys.tracking.spool import RunRecord
from distsys.training.loop import fit
from distsys.training.origin import find_origin
from distsys.training.outcome import Outcome
from distsys.training.spec import Origin, RunSpec
from distsys.training.team import Team
from tests.training.support import make_context, make_spec
from tests.training.test_loop import assert_same_weights, numbers, weights

TOLERANCE = 1e-4
"""Relative difference of weights after 120 steps: two workers add their gradients in another order."""

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.promise, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster(outside: Path) -> Iterator[None]:
    with ray_session():
        yield


def through_ray(outside: Path, folder: Path, num_workers: int, *overrides: str, origin: Origin | None = None) -> None:
    spec = replace(make_spec(outside, *overrides)[0], origin=origin)
    record = RunRecord("train", "test", None, {}, {})
    fit_on_workers(spec, folder=folder, record=record, team=Team(num_workers, num_workers), device="cpu")


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


def test_another_runs_weights_are_started_from_by_one_worker_and_by_two(
    cluster: None, outside: Path, tmp_path: Path
) -> None:
    fit(make_context(outside, tmp_path / "source"))
    source, _ = find_origin(tmp_path / "source")
    origin = Origin(str(source.path), source.step, source.digest)
    context = make_context(outside, tmp_path / "local")
    fit(replace(context, spec=replace(context.spec, origin=origin)))
    for number in (1, 2):
        through_ray(outside, tmp_path / str(number), number, origin=origin)
        outcome = Outcome.read(tmp_path / str(number), context.domain.selection)
        assert outcome is not None
        assert outcome.notes[0].startswith(f"started from step 120 of {source.path}: weights, moments taken over")
        assert RunSpec.from_content(outcome.spec).origin == origin
    assert numbers(tmp_path / "local") == numbers(tmp_path / "1")
    assert_same_weights(tmp_path / "local", tmp_path / "1", 120)
    one, two = weights(tmp_path / "1", 120), weights(tmp_path / "2", 120)
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=TOLERANCE, atol=TOLERANCE), name


def test_an_error_of_the_users_comes_back_as_itself(cluster: None, outside: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size = 33 over 2 workers"):
        through_ray(outside, tmp_path / "two", 2, "batch_size=33")


def test_a_team_that_may_be_smaller_trains_what_one_worker_does(cluster: None, outside: Path, tmp_path: Path) -> None:
    """The cluster has two CPUs: of one to three workers two are there."""
    fit(make_context(outside, tmp_path / "one", "batch_size=36"))
    spec, record = make_spec(outside, "batch_size=36")[0], RunRecord("train", "test", None, {}, {})
    fit_on_workers(spec, folder=tmp_path / "team", record=record, team=Team(1, 3), device="cpu")
    one, team = weights(tmp_path / "one", 120), weights(tmp_path / "team", 120)
    for name, tensor in one.items():
        assert torch.allclose(tensor, team[name], rtol=TOLERANCE, atol=TOLERANCE), name


def test_workers_for_labelled_nodes_need_such_nodes(cluster: None, outside: Path, tmp_path: Path) -> None:
    spec, record = make_spec(outside)[0], RunRecord("train", "test", None, {}, {})
    with pytest.raises(RunFailed, match="on nodes labelled disk=fast, and there are 0") as caught:
        fit_on_workers(spec, folder=tmp_path, record=record, team=Team(2, 2, {"disk": "fast"}), device="cpu")
    assert caught.value.fix == "no --label, or a cluster that has more"
