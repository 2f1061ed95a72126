"""Filters, envelopes and response spectra of ground motion beside SciPy's; ensemble scores beside scoringrules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.signal import convolve, firwin, hilbert, kaiserord, lsim, resample
from scoringrules import crps_ensemble

from distsys.domains.ground_motion.data.operators import CUTOFF_HZ, RATE_HZ, WINDOW, envelope, lowpass
from distsys.domains.ground_motion.score.intensity import PERIODS_S, response
from distsys.signals.ensembles import correlation, covered, crps
from distsys.signals.filters import band_pass, low_pass

RANDOM = np.random.default_rng(0)


def motions(count: int = 8) -> np.ndarray:
    """Noise below 10 Hz that grows from silence and falls back into it, [count, time], in g."""
    time = np.arange(WINDOW) / WINDOW
    noise = np.random.default_rng(1).standard_normal((count, WINDOW))
    course = np.where(time < 0.6, np.sin(np.pi * np.minimum(time / 0.6, 1.0)) ** 2, 0.0)
    return 0.1 * course * resample(resample(noise, WINDOW // 5, axis=1), WINDOW, axis=1)


def ensembles(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples [500, count] and truths [500], float64."""
    generator = torch.Generator().manual_seed(count)
    samples = torch.randn(500, count, generator=generator, dtype=torch.float64)
    return samples, 1.5 * torch.randn(500, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("count", [2, 20, 101])
def test_crps_is_the_fair_one(count: int) -> None:
    """Sorted sums here, sums over all pairs there: float64 rounding. The score that is not fair lies above."""
    samples, truth = ensembles(count)
    found = crps(samples, truth).numpy()
    fair, biased = (crps_ensemble(truth.numpy(), samples.numpy(), estimator=name) for name in ("fair", "nrg"))
    assert np.abs(found - fair).max() < 1e-12
    assert (biased > found).all()


@pytest.mark.parametrize("count", [5, 20, 101])
def test_coverage_is_that_of_weibull_s_quantiles(count: int) -> None:
    """Yes or no, so exactly; no truth lies on an edge."""
    samples, truth = ensembles(count)
    low, high = np.quantile(samples.numpy(), [0.05, 0.95], axis=1, method="weibull")
    assert (covered(samples, truth).numpy() == ((truth.numpy() >= low) & (truth.numpy() <= high))).all()


def test_correlation_is_numpy_s() -> None:
    one, other = RANDOM.standard_normal((2, 300))
    found = correlation(torch.from_numpy(one), torch.from_numpy(0.3 * one + other))
    assert float(found) == pytest.approx(np.corrcoef(one, 0.3 * one + other)[0, 1], abs=1e-12)  # float64 rounding


def test_the_low_pass_is_resampling_down_and_up_again() -> None:
    """To 2 k + 1 samples, k being the last bin below the edge: what is kept is the same to rounding."""
    noise = RANDOM.standard_normal(1000)
    expected = resample(resample(noise, 101), 1000)
    assert np.abs(low_pass(noise, rate_hz=100.0, cutoff_hz=5.0) - expected).max() < 1e-12


def test_the_operator_below_1_hz_is_resampling_down_and_up_again() -> None:
    kept = int(CUTOFF_HZ * WINDOW / RATE_HZ)
    noise = RANDOM.standard_normal(WINDOW)
    expected = resample(resample(noise, 2 * kept + 1), WINDOW)
    assert np.abs(lowpass(torch.from_numpy(noise).float()).numpy() - expected).max() < 1e-6  # float32 rounding


def test_the_band_pass_is_a_long_fir_filter_off_its_flanks() -> None:
    """Its flanks are half a hertz wide at 5 Hz and two at 20 Hz, where the two may differ and nothing sounds.

    The FIR filter is designed to 80 dB; 60 dB are asked for, as each end's transient reaches a little inside.
    """
    rate_hz, count = 100.0, 6000
    spectrum = np.fft.rfft(RANDOM.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1.0 / rate_hz)
    for edge in (5.0, 20.0):
        spectrum[np.abs(frequency / edge - 1.0) < 0.2] = 0.0
    samples = np.fft.irfft(spectrum, count)
    taps, beta = kaiserord(80.0, 1.0 / (rate_hz / 2))
    fir = firwin(taps | 1, [5.0, 20.0], window=("kaiser", beta), pass_zero=False, fs=rate_hz)
    found = band_pass(samples, rate_hz=rate_hz, low_hz=5.0, high_hz=20.0)
    middle = slice(1000, -1000)
    expected = convolve(samples, fir, mode="same")[middle]
    assert np.abs(found[middle] - expected).max() < 1e-3 * np.abs(expected).max()


def test_the_envelope_is_the_smoothed_hilbert_envelope() -> None:
    """The kernel here is made in the spectrum, there in time: float32 rounding remains."""
    samples = motions()
    rough = np.abs(hilbert(samples, axis=1))
    expected = gaussian_filter1d(rough, 0.25 * RATE_HZ, axis=1, mode="wrap", truncate=8.0)
    found = envelope(torch.from_numpy(samples).float()).numpy()
    assert np.abs(found - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("period_s", PERIODS_S)
def test_the_response_spectrum_is_that_of_the_differential_equation(period_s: float) -> None:
    """Integrated exactly between samples, for a motion that is linear between them at 16 times its rate.

    One per cent: a peak may lie between samples here, of which there are 20 to a period (1 - cos(pi / 20) = 1.2 %).
    """
    samples = motions(3)
    natural, finer = 2.0 * np.pi / period_s, 16
    oscillator = ([-(natural**2)], [1.0, 0.1 * natural, natural**2])
    found = response(torch.from_numpy(samples).float(), period_s).numpy()
    padded = np.pad(samples, ((0, 0), (0, WINDOW)))
    time = np.arange(finer * 2 * WINDOW) / (finer * RATE_HZ)
    for index, motion in enumerate(resample(padded, finer * 2 * WINDOW, axis=1)):
        deflection = lsim(oscillator, motion, time)[1]
        assert found[index] == pytest.approx(np.abs(deflection).max(), rel=0.0125)
