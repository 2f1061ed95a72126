"""The one low-pass, bands that add up, and intensity measures with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distsys.domains.ground_motion.data.operators import (
    NUM_FRAMES,
    WINDOW,
    band_frames,
    band_masks,
    band_power,
    envelope,
    frames_of,
    frequencies_hz,
    half_power,
    highpart,
    lowpass,
    over_time,
    rms,
)
from distsys.domains.ground_motion.data.records import G_IN
from distsys.domains.ground_motion.score.intensity import durations, fourier_amplitude, measures, response
from tests.domains.ground_motion.support import sine, some_motions


def test_the_lowpass_is_idempotent_linear_and_shifts_nothing() -> None:
    motion = some_motions()
    once = lowpass(motion)
    assert torch.allclose(lowpass(once), once, atol=1e-6 * float(motion.abs().max()))
    assert torch.allclose(lowpass(3.0 * motion), 3.0 * once)
    assert torch.allclose(once + highpart(motion), motion)
    impulse = torch.zeros(WINDOW)
    impulse[WINDOW // 2] = 1.0
    answer = lowpass(impulse)
    assert int(answer.argmax()) == WINDOW // 2
    assert torch.allclose(answer[1:], answer[1:].flip(0), atol=1e-6)


def test_the_lowpass_has_a_gradient() -> None:
    motion = some_motions(1).requires_grad_()
    lowpass(motion).square().sum().backward()
    assert motion.grad is not None and float(motion.grad.abs().max()) > 0.0


def test_bands_share_the_power_between_1_and_30_hz() -> None:
    total = band_masks().square().sum(dim=0)
    frequency = frequencies_hz()
    inside = (frequency > 1.0) & (frequency <= 30.0)
    assert torch.allclose(total[inside], torch.ones(int(inside.sum())), atol=1e-6)
    assert not bool(total[~inside].any())


@pytest.mark.parametrize(("frequency_hz", "band"), [(1.5, 0), (3.0, 1), (5.5, 2), (9.0, 3), (15.0, 4), (24.0, 5)])
def test_a_sine_lies_in_its_band(frequency_hz: float, band: int) -> None:
    power = band_power(sine(frequency_hz))
    assert float(power[band]) == pytest.approx(0.5, rel=0.05)
    assert float(power.sum()) == pytest.approx(0.5, rel=0.05)


def test_envelopes_of_a_modulated_sine() -> None:
    slow = 1.0 + 0.5 * sine(0.2)
    found = envelope(slow * sine(10.0))
    middle = slice(WINDOW // 8, -WINDOW // 8)
    assert torch.allclose(found[middle], slow[middle], atol=0.05)


def test_frames_keep_the_mean_and_come_back_to_time() -> None:
    motion = some_motions()
    power = motion.square()
    assert torch.allclose(frames_of(power).mean(dim=-1), power.mean(dim=-1), rtol=1e-2)
    bands = torch.fft.rfft(motion)[..., None, :] * band_masks()
    slow = frames_of(half_power(bands))
    quick = band_frames(torch.fft.rfft(motion))
    assert float((slow - quick).norm() / slow.norm()) < 0.05
    assert torch.allclose(quick.mean(dim=-1), band_power(motion), rtol=1e-2)
    ramp = torch.arange(NUM_FRAMES, dtype=torch.float32)
    back = over_time(ramp)
    assert float(back.min()) == 0.0 and float(back.max()) == NUM_FRAMES - 1
    assert bool((back.diff() >= 0).all())


def test_a_resonant_oscillator_swings_ten_times_as_far() -> None:
    for period_s in (0.1, 0.3, 1.0):
        assert float(response(sine(1.0 / period_s), period_s)) == pytest.approx(1.0 / (2.0 * 0.05), rel=0.03)


def test_response_is_not_pga_at_every_period() -> None:
    """A metric that returned PGA whatever the period once hid every spectral error."""
    motion = sine(10.0)
    assert float(response(motion, 0.01)) == pytest.approx(1.0, rel=0.1)
    assert float(response(motion, 2.0)) < 0.1


def test_measures_of_a_sine() -> None:
    found = {name: float(value.exp()) for name, value in measures(0.1 * sine(2.0)).items()}
    assert found["pga"] == pytest.approx(0.1, rel=5e-3)
    assert found["pgv"] == pytest.approx(0.1 * G_IN["m/s2"] / (2.0 * math.pi * 2.0), rel=0.05)
    assert found["arias"] == pytest.approx(0.5 * math.pi * G_IN["m/s2"] * 0.1**2 * 0.5 * 20.48, rel=1e-3)
    assert found["cav"] == pytest.approx(G_IN["m/s2"] * 0.1 * 2.0 / math.pi * 20.48, rel=5e-3)


def test_durations_of_a_burst() -> None:
    burst = torch.zeros(WINDOW)
    burst[500:1500] = 1.0
    found = durations(burst)
    assert float(found["d5_75"].exp()) == pytest.approx(7.0, abs=0.03)
    assert float(found["d5_95"].exp()) == pytest.approx(9.0, abs=0.03)


def test_fourier_amplitudes_follow_a_gain() -> None:
    motion = some_motions()
    one, three = (fourier_amplitude(gain * motion, (1.2, 5.0, 12.0, 25.0)) for gain in (1.0, 3.0))
    assert np.allclose((three - one).numpy(), math.log(3.0), atol=1e-4)


def test_rms_of_silence_is_no_division_by_zero() -> None:
    assert math.isfinite(float(rms(torch.zeros(WINDOW)).log()))
