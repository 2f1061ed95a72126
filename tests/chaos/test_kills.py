"""One kill of every kind loses nothing and leaves nothing behind; ``make chaos`` tries many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.kills import FAULTS, Fault, prepared, tallied, unharmed

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def place() -> Iterator[Path]:
    """Short, for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as name:
        yield prepared(Path(name))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_kill_loses_nothing(fault: Fault, place: Path) -> None:
    tally = tallied(fault, times=1, place=place, twin=unharmed(fault.arguments, place=place))
    assert tally.hit == 1
    assert tally.is_clean, tally
