"""What tells motions apart below their envelopes, on motions whose texture is known."""

from __future__ import annotations

import pytest
import torch

from distsys.domains.ground_motion.data.operators import WINDOW, highpart
from distsys.domains.ground_motion.score.telling import Classifier, area_under_curve, features
from distsys.domains.ground_motion.score.texture import (
    PERIODS_S,
    band_courses,
    kurtosis,
    response_spectrum,
    texture_scores,
    zero_crossing_rate,
)
from tests.domains.ground_motion.support import sine, some_motions


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, WINDOW, generator=torch.Generator().manual_seed(seed))


def test_a_sine_crosses_zero_twice_a_period() -> None:
    assert zero_crossing_rate(sine(7.8125)) == pytest.approx(torch.full((16,), 2.0 * 7.8125), rel=0.06)


def test_the_kurtosis_is_that_of_noise_and_of_peaks() -> None:
    """Three for Gaussian noise, whatever its envelope; about 1.5 for a sine; more where single peaks stand out."""
    slow = torch.exp(-torch.linspace(-2.0, 2.0, WINDOW).square())
    spikes = noise() + 6.0 * (noise(seed=1) > 2.5)
    plain, shaped, peaked = (float(kurtosis(item)) for item in (noise(), slow * noise(), spikes))
    assert plain == pytest.approx(3.0, abs=0.4) and shaped == pytest.approx(plain, abs=0.3)
    assert float(kurtosis(sine(8.0))) == pytest.approx(1.5, abs=0.1)
    assert peaked > 1.3 * plain


def test_band_courses_say_where_a_sine_is() -> None:
    course = band_courses(sine(5.0), frames=16)
    assert course.shape == (6, 16)
    assert course[2] == pytest.approx(torch.zeros(16), abs=0.1)
    assert bool((course[[0, 4, 5], 1:-1] < -4.0).all())


def test_the_response_has_its_peak_at_the_period_of_a_sine() -> None:
    found = response_spectrum(highpart(sine(1.0 / PERIODS_S[8])))
    assert found.shape == (20,)
    assert int(found.argmax()) == 8


def test_the_truth_scores_nothing_and_another_texture_more_than_the_same() -> None:
    truth = some_motions(2)
    assert all(bool((value.abs() < 1e-4).all()) for value in texture_scores(truth[:, None], truth).values())
    smooth = torch.cumsum(noise(6, 12), dim=-1)
    real = noise(6, seed=1)
    same, other = (texture_scores(item, real) for item in (noise(6, 12, seed=2), smooth))
    for name in ("energy_time_frequency", "crps_zero_crossings", "crps_response_spectrum"):
        assert float(same[name].mean()) < 0.7 * float(other[name].mean()), name


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_features_do_not_depend_on_the_unit(gain: float) -> None:
    motion = some_motions(3)
    assert torch.allclose(features(gain * motion), features(motion), atol=2e-2)


def test_a_classifier_tells_textures_apart_and_not_what_is_the_same() -> None:
    """Trained on one set and asked about another: noise from noise is a guess, noise from rare spikes is not."""
    one, other, spikes = noise(60), noise(60, seed=1), noise(60, seed=2) + 5.0 * (noise(60, seed=3) > 2.6)
    real, drawn, told = (features(item) for item in (one, other, spikes))

    def area(found: torch.Tensor) -> float:
        known = Classifier.fit(real[:40], found[:40])
        return area_under_curve(known.score(real[40:]), known.score(found[40:]))

    assert 0.25 < area(drawn) < 0.75
    assert area(told) > 0.9


def test_the_area_is_that_of_pairs() -> None:
    """By hand: of six pairs four stand in the right order and one is a tie."""
    assert area_under_curve(torch.tensor([3.0, 2.0]), torch.tensor([2.5, 2.0, 1.0])) == pytest.approx(4.5 / 6.0)
