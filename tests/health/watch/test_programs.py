"""Every program: its defect is named first, or nothing is said of it; and it computes the same numbers."""

from __future__ import annotations

import pytest

from distsys.health.watch import watch
from tests.health.watch import programs_more, programs_steps, programs_wild  # noqa: F401 - register their programs
from tests.health.watch.programs import PROGRAMS, Program

pytestmark = [
    pytest.mark.filterwarnings("ignore:Detected call of:UserWarning"),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda item: item.name)
def test_a_defect_is_named_and_a_healthy_loop_left_alone_and_no_number_moves(program: Program) -> None:
    plain = program.loop(0)
    with watch(quiet=True, strict=True) as report:
        seen = program.loop(0)
    assert str(seen) == str(plain)  # NaN is equal to itself here
    found = [verdict.cause for verdict in report]
    assert found[:1] == [] if not program.causes else found[0] in {cause.name for cause in program.causes}


def test_there_are_enough_of_both() -> None:
    assert sum(1 for item in PROGRAMS if item.causes) >= 15
    assert sum(1 for item in PROGRAMS if not item.causes) >= 15
