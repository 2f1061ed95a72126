"""Scores of ensembles whose quality is known."""

from __future__ import annotations

import pytest
import torch

from distsys.signals.ensembles import correlation, covered, crps, standard_error


def test_crps_of_a_known_forecast() -> None:
    """Gneiting and Raftery 2007: a standard normal forecast scores (sqrt 2 - 1) / sqrt pi at its centre."""
    samples = torch.randn(200, 500, generator=torch.Generator().manual_seed(0))
    assert float(crps(samples, torch.zeros(200)).mean()) == pytest.approx((2.0**0.5 - 1.0) / torch.pi**0.5, rel=0.02)
    assert float(crps(torch.full((1, 4), 3.0), torch.tensor([3.0]))) == 0.0


@pytest.mark.parametrize("count", [20, 40])
def test_a_calibrated_ensemble_covers_nine_tenths(count: int) -> None:
    """Interpolated percentiles of 20 samples would cover 0.81."""
    generator = torch.Generator().manual_seed(0)
    samples, truth = torch.randn(20_000, count, generator=generator), torch.randn(20_000, generator=generator)
    assert float(covered(samples, truth).float().mean()) == pytest.approx(0.9, abs=0.01)
    assert float(covered(0.5 * samples, truth).float().mean()) < 0.65


def test_correlation_judges_course_and_nothing_else() -> None:
    motion = torch.randn(6, 2048, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(correlation(motion, 5.0 + 3.0 * motion), torch.ones(len(motion)), atol=1e-4)
    assert torch.allclose(correlation(motion, -motion), -torch.ones(len(motion)), atol=1e-4)
    assert not bool(correlation(motion, torch.ones_like(motion)).any())


def test_the_standard_error_of_a_mean_is_that_of_independent_items_or_of_their_groups() -> None:
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    assert standard_error(values) == pytest.approx(float(values.std()) / 4000**0.5, rel=1e-6)
    groups = torch.arange(4000) % 40
    shared = values[groups]
    expected = float(values[:40].std()) / 40**0.5
    assert standard_error(shared, groups) == pytest.approx(expected, rel=1e-6)
    assert standard_error(shared) < 0.2 * expected
    assert standard_error(torch.ones(1)) == 0.0
