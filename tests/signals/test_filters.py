"""Zero-phase filters on sines and an impulse."""

from __future__ import annotations

import numpy as np
import pytest

from distsys.signals.filters import band_pass, low_pass

RATE_HZ = 100.0


def sine(frequency_hz: float, count: int = 4000) -> np.ndarray:
    return np.sin(2.0 * np.pi * frequency_hz * np.arange(count) / RATE_HZ)


@pytest.mark.parametrize(("frequency_hz", "kept"), [(0.2, 0.0), (5.0, 1.0), (40.0, 0.0)])
def test_a_band_passes_what_lies_in_it(frequency_hz: float, kept: float) -> None:
    found = band_pass(sine(frequency_hz), rate_hz=RATE_HZ, low_hz=1.0, high_hz=20.0)
    middle = slice(1000, 3000)
    assert np.allclose(found[middle], kept * sine(frequency_hz)[middle], atol=0.01)


def test_an_impulse_stays_in_its_place() -> None:
    impulse = np.zeros(1001)
    impulse[500] = 1.0
    for found in (
        band_pass(impulse, rate_hz=RATE_HZ, low_hz=1.0, high_hz=20.0),
        low_pass(impulse, rate_hz=RATE_HZ, cutoff_hz=5.0),
    ):
        assert int(found.argmax()) == 500
        assert np.allclose(found[400:500], found[501:601][::-1], atol=1e-3)


def test_the_low_pass_is_idempotent() -> None:
    noise = np.random.default_rng(0).standard_normal(1000)
    once = low_pass(noise, rate_hz=RATE_HZ, cutoff_hz=5.0)
    assert np.allclose(low_pass(once, rate_hz=RATE_HZ, cutoff_hz=5.0), once)
