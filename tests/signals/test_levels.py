"""Levels by hand, and of silence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distsys.signals.levels import energy_db, rms, with_rms


def test_energy_is_that_of_full_scale_and_has_a_floor() -> None:
    assert float(energy_db(torch.full((100,), 0.1))) == pytest.approx(-20.0, abs=1e-4)
    assert float(energy_db(torch.zeros(5))) == pytest.approx(-100.0)


def test_samples_are_scaled_to_the_rms_wanted_and_silence_stays_silence() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 3, 500)).astype(np.float32)
    samples[0, 0] = 0.0
    wanted = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.0]])
    scaled = with_rms(samples, wanted)
    assert scaled.dtype == np.float32
    assert not scaled[0, 0].any()
    wanted[0, 0] = 0.0
    assert rms(scaled) == pytest.approx(wanted, rel=1e-6)
