"""Motions longer than a window: what is given stays, and nothing is seen of where windows meet."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from distsys.domains.ground_motion.data.operators import WINDOW, highpart, lowpass
from distsys.domains.ground_motion.data.tiles import HOP, below, joined, tile_starts


@pytest.mark.parametrize("length", [WINDOW, WINDOW + 1, 3000, 3 * WINDOW, 6001])
def test_windows_cover_every_sample(length: int) -> None:
    covered = torch.zeros(length)
    starts = tile_starts(length)
    for start in starts:
        covered[start : start + WINDOW] += 1
    assert float(covered.min()) >= 1 and starts[-1] + WINDOW == length
    assert all(0 < other - one <= HOP for one, other in pairwise(starts))


def test_the_low_pass_of_a_window_s_length_is_that_of_the_metrics() -> None:
    motion = torch.randn(3, WINDOW, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(below(motion), lowpass(motion), atol=1e-6)


@pytest.mark.parametrize("length", [WINDOW, 3000, 5000])
def test_the_seam_error(length: int) -> None:
    """Below 1 Hz nothing changes; above, the level where windows meet is that of windows, within 2 %."""
    generator = torch.Generator().manual_seed(0)
    given = below(torch.randn(length, generator=generator))
    tiles = highpart(torch.randn(len(tile_starts(length)), 600, WINDOW, generator=generator))
    found = joined(tiles, given)
    assert found.shape == (600, length)
    assert float((below(found) - given).norm(dim=-1).max()) < 1e-4 * float(given.norm())
    level = (found - given).square().mean(dim=0).unfold(0, 100, 100).mean(dim=-1).sqrt()
    expected = tiles.square().mean().sqrt()
    assert float((level / expected - 1.0).abs().max()) < 0.02
    steps = (found - given).diff(dim=-1).square().mean(dim=0).sqrt()
    usual = tiles.diff(dim=-1).square().mean().sqrt()
    assert float((steps / usual).max()) < 1.15


def test_one_window_stays_what_it_is() -> None:
    tiles = highpart(torch.randn(1, 2, WINDOW, generator=torch.Generator().manual_seed(0)))
    given = below(torch.randn(WINDOW, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(joined(tiles, given), given + tiles[0], atol=1e-5)
