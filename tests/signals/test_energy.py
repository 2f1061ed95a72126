"""When the energy of signals arrives whose course is known."""

from __future__ import annotations

import torch

from distsys.signals.energy import arrival, arrived_share


def test_even_power_arrives_evenly() -> None:
    assert torch.allclose(arrived_share(torch.full((2, 4), 3.0)), torch.tensor([0.25, 0.5, 0.75, 1.0]).expand(2, 4))


def test_a_share_has_arrived_where_the_course_reaches_it() -> None:
    power = torch.tensor([[0.0, 1.0, 1.0, 2.0], [4.0, 0.0, 0.0, 0.0]])
    assert arrival(power, 0.25).tolist() == [1, 0]
    assert arrival(power, 0.3).tolist() == [2, 0]
    assert arrival(power, 1.0).tolist() == [3, 0]


def test_gain_moves_nothing() -> None:
    power = torch.rand(5, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(arrival(power, 0.37), arrival(1e3 * power, 0.37))
