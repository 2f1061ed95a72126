"""Threads that make batches ahead: the same ones in the same order, so many and no more; errors where they belong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from distsys.config.schema import FeedingConfig
from distsys.config.validate import numbers_of
from distsys.domains.protocol import Batch
from distsys.domains.registry import get_domain
from distsys.errors import ConfigError, DataError
from distsys.training.context import FitContext
from distsys.training.feeding import Feeder
from distsys.training.loop import Run
from tests.training.support import make_context, make_spec
from tests.training.test_golden import SETTINGS
from tests.training.test_spread import ALONE, spec_of

CPU = torch.device("cpu")


class Counted:
    """Items that are their index, and what was asked for so far."""

    def __init__(self, broken: int = -1, error: type[Exception] = ValueError) -> None:
        self.asked: list[int] = []
        self._broken, self._error = broken, error

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        self.asked.append(indices[0])
        if self._broken in indices:
            raise self._error("row is empty")
        return {"x": torch.tensor(indices), "progress": torch.tensor(progress)}


def feeder(source: Counted, *, workers: int, ahead: int = 4, steps: int = 20) -> Feeder:
    """Two items a step, in two parts."""
    settings = FeedingConfig(workers=workers, ahead=ahead)
    return Feeder(source, lambda step: [[2 * step], [2 * step + 1]], steps=steps, device=CPU, settings=settings)


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_steps_come_in_order_whoever_makes_them(workers: int) -> None:
    fed = feeder(Counted(), workers=workers)
    with fed.ahead():
        found = [[int(part["x"]) for part in fed.batches(step)] for step in range(20)]
    assert found == [[2 * step, 2 * step + 1] for step in range(20)]


def test_a_run_that_goes_back_gets_the_steps_it_asks_for() -> None:
    fed = feeder(Counted(), workers=2)
    with fed.ahead():
        assert [int(fed.batches(step)[0]["x"]) for step in (0, 1, 2, 10, 11, 1, 2, 19)] == [0, 2, 4, 20, 22, 2, 4, 38]


def test_no_more_is_made_than_may_wait_nor_beyond_the_end() -> None:
    source = Counted()
    fed = feeder(source, workers=1, ahead=3, steps=20)
    with fed.ahead():
        fed.batches(0)
    assert max(source.asked) <= 2 * 3 + 1
    source = Counted()
    fed = feeder(source, workers=1, ahead=3, steps=2)
    with fed.ahead():
        fed.batches(0)
        fed.batches(1)
    assert sorted(source.asked) == [0, 1, 2, 3]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_with_its_step_and_its_items_and_not_before(workers: int) -> None:
    fed = feeder(Counted(broken=7), workers=workers)
    with fed.ahead():
        assert [int(fed.batches(step)[0]["x"]) for step in range(3)] == [0, 2, 4]
        with pytest.raises(ValueError, match="row is empty") as caught:
            fed.batches(3)
    assert caught.value.__notes__ == ["making items 7 to 7, of step 4"]


def test_a_users_error_says_where_too() -> None:
    with pytest.raises(DataError, match=r"row is empty \(making items 1 to 1, of step 1\)"):
        feeder(Counted(broken=1, error=DataError), workers=0).batches(0)


def test_no_thread_is_left_behind() -> None:
    fed = feeder(Counted(broken=3), workers=3)
    before = threading.active_count()
    with fed.ahead():
        assert threading.active_count() == before + 3
        with pytest.raises(ValueError, match="row is empty"):
            fed.batches(1)
    assert threading.active_count() == before


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_items_of_every_domain_are_the_same_from_any_number_of_threads(name: str, tmp_path: Path) -> None:
    found = []
    for workers in (0, 1, 3):
        spec = spec_of(name, 1, {}, f"feeding={{workers: {workers}, ahead: 6}}")
        run = Run(FitContext(spec, get_domain(name), tmp_path / str(workers), ALONE, None))
        with run._feeder.ahead():
            found.append([run._feeder.batches(step)[0] for step in range(12)])
    for steps in zip(*found, strict=True):
        assert all(batch.keys() == steps[0].keys() for batch in steps)
        assert all(torch.equal(steps[0][key], batch[key]) for batch in steps for key in batch)


def test_who_makes_batches_does_not_change_what_a_run_is_called(outside: Path) -> None:
    one, _ = make_spec(outside)
    other, _ = make_spec(outside, "feeding={workers: 2, ahead: 8}")
    assert numbers_of(one.config) == numbers_of(other.config)
    assert one.identity == other.identity


def test_more_threads_than_batches_in_hand_are_refused(outside: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ahead 2 keeps no more than 2 of 3 workers busy"):
        make_context(outside, tmp_path, "feeding.workers=3")


class Simulated(Counted):
    """Items that a device can make, and which one was asked to."""

    there: torch.device | None = None

    def on(self, device: torch.device) -> Simulated:
        made = Simulated()
        made.there, made.asked = device, self.asked
        return made


def test_only_a_cuda_device_is_asked_to_make_its_items() -> None:
    settings = FeedingConfig(workers=2, ahead=4)
    for device, expected in ((CPU, None), (torch.device("cuda", 0), torch.device("cuda", 0))):
        fed = Feeder(Simulated(), lambda step: [[step]], steps=3, device=device, settings=settings)
        assert isinstance(fed._source, Simulated)
        assert fed._source.there == expected
    with fed.ahead():
        assert fed._tasks is None  # threads would stand in the device's way
