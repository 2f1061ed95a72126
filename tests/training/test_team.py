"""How many workers a training may have, and what they share."""

from __future__ import annotations

import pytest

from distsys.errors import ConfigError
from distsys.training.team import Team


@pytest.mark.parametrize(("team", "size", "parts"), [(Team(3, 3), 33, 1), (Team(2, 4), 36, 1), (Team(1, 2), 8, 4)])
def test_shares_that_are_equal_for_every_number_are_taken(team: Team, size: int, parts: int) -> None:
    team.require_equal_shares(size, parts=parts)


def test_a_size_that_one_of_the_numbers_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size = 32 over 2 to 4 workers") as caught:
        Team(2, 4).require_equal_shares(32)
    assert caught.value.fix == "batch_size: 36, or another --workers"
    with pytest.raises(ConfigError, match="each in 3 parts"):
        Team(2, 2).require_equal_shares(32, parts=3)
