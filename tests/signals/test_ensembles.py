"""Scores of ensembles whose quality is known."""

from __future__ import annotations

import pytest
import torch

from distsys.signals.ensembles import correlation, covered, crps, energy_score, standard_error


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


def _naive(samples: torch.Tensor, truth: torch.Tensor, alpha: float) -> torch.Tensor:
    """Lang et al. 2024, eq. 4, as it is written: a loop over pairs."""
    count = len(samples)
    fair = 1.0 - (1.0 - alpha) / count
    total = torch.zeros((), dtype=samples.dtype)
    for one in samples:
        total = total + (one - truth).abs() / count
        for other in samples:
            total = total - fair * (one - other).abs() / (2.0 * count * (count - 1))
    return total


@pytest.mark.parametrize("alpha", [0.0, 0.95, 1.0])
def test_an_almost_fair_score_is_the_sum_over_pairs(alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = torch.randn(5, generator=generator, dtype=torch.float64)
    wanted = torch.stack([_naive(row, true, alpha) for row, true in zip(samples, truth, strict=True)])
    assert torch.allclose(crps(samples, truth, alpha=alpha), wanted)
    assert torch.autograd.gradcheck(lambda item: crps(item, truth, alpha=alpha), samples)


def test_a_fair_score_is_best_for_the_true_spread_however_few_the_samples() -> None:
    """Unfair, four samples would do best when they spread too little; almost fair is nearly fair."""
    generator = torch.Generator().manual_seed(0)
    noise, truth = torch.randn(100_000, 4, generator=generator), torch.randn(100_000, generator=generator)
    spreads = [0.7, 0.85, 1.0, 1.15, 1.3]

    def best(alpha: float) -> float:
        return min(spreads, key=lambda spread: float(crps(spread * noise, truth, alpha=alpha).mean()))

    assert [best(alpha) for alpha in (1.0, 0.95)] == [1.0, 1.0]
    assert best(0.0) < 1.0


def test_an_almost_fair_score_minds_samples_that_are_anywhere() -> None:
    """Of two, one right and one far off: a fair score is as good as for both right, however far."""
    samples, truth = torch.tensor([0.0, 100.0]), torch.tensor(0.0)
    assert float(crps(samples, truth)) == pytest.approx(0.0)
    assert float(crps(samples, truth, alpha=0.95)) > 1.0


def test_an_energy_score_is_the_sum_over_pairs_and_of_one_value_the_crps() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    truth = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    for drawn, true, found in zip(samples, truth, energy_score(samples, truth), strict=True):
        error = sum(float((item - true).norm()) for item in drawn) / 5
        apart = sum(float((one - other).norm()) for one in drawn for other in drawn) / (2 * 5 * 4)
        assert float(found) == pytest.approx(error - apart)
    assert torch.allclose(energy_score(samples[..., :1], truth[..., :1]), crps(samples[..., 0], truth[..., 0]))
    assert torch.allclose(energy_score(truth[:, None], truth), torch.zeros(3, dtype=torch.float64))
