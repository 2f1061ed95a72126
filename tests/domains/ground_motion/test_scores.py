"""Scores of ensembles whose quality is known, and of the truth."""

from __future__ import annotations

import pytest
import torch
from distsys.domains.ground_motion.scores import correlation, covered, crps

from distsys.domains.ground_motion.metrics import Scores
from distsys.domains.ground_motion.operators import highpart, lowpass
from tests.domains.ground_motion.support import small_bundle, some_motions


def test_the_truth_is_perfect() -> None:
    motion = some_motions()
    found = Scores.of(motion[:, None], motion).summary()
    for name, value in found.items():
        wanted = 1.0 if "correlation" in name else 0.0
        assert value == pytest.approx(wanted, abs=1e-5), name


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_scores_do_not_depend_on_the_unit(gain: float) -> None:
    motion = some_motions()
    samples = lowpass(motion)[:, None] + highpart(torch.roll(motion, 100, dims=-1))[:, None] * torch.tensor(
        [0.5, 1.0, 2.0]
    ).view(1, 3, 1)
    one, other = (Scores.of(scale * samples, scale * motion).summary() for scale in (1.0, gain))
    assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


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
    motion = some_motions()
    assert torch.allclose(correlation(motion, 5.0 + 3.0 * motion), torch.ones(len(motion)), atol=1e-4)
    assert torch.allclose(correlation(motion, -motion), -torch.ones(len(motion)), atol=1e-4)
    assert not bool(correlation(motion, torch.ones_like(motion)).any())


def test_the_gate_is_no_score() -> None:
    """White noise above what is given passes it: quality is judged above 1 Hz."""
    motion = some_motions()
    noise = highpart(torch.randn(motion.shape, generator=torch.Generator().manual_seed(0)))
    noisy = lowpass(motion) + noise / noise.norm() * motion.norm()
    found = Scores.of(noisy[:, None], motion).summary()
    assert found["envelope_correlation"] == pytest.approx(1.0, abs=1e-5)
    assert found["hf_envelope_correlation"] < 0.3


def test_rows_stand_in_a_sensible_order() -> None:
    rows = small_bundle().test.baselines()
    assert rows["truth"]["crps"] == pytest.approx(0.0, abs=1e-5)
    assert rows["hybrid, oracle level"]["crps_ln_im"] < rows["fair hybrid"]["crps_ln_im"]
    assert rows["fair hybrid"]["hf_envelope_correlation"] > rows["white noise + c"]["hf_envelope_correlation"]
    assert rows["sibling"]["hf_envelope_correlation"] > 0.5
