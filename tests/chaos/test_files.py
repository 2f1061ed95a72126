"""A few of each fault of files and of what is around a command lose nothing; ``make chaos`` tries many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.__main__ import ROWS
from tests.chaos.kills import prepared

_SHARE = 0.005
_QUICK = ("changes",)
"""That ``make test`` tries."""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="c") as name:
        yield prepared(Path(name))


@pytest.mark.parametrize(
    "rows",
    [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in ROWS
        if name != "kills"  # those of Ray's processes stand in test_kills.py
    ],
)
def test_a_fault_loses_nothing(rows: str, place: Path) -> None:
    for tally in ROWS[rows](place, _SHARE):
        if tally.told and "no file system could be mounted" in tally.told[0]:
            pytest.skip(tally.told[0])
        assert tally.times
        assert tally.is_clean, tally
