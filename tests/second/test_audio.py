"""SI-SDR beside torchmetrics; transform and resampling beside SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT, resample
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from distsys.domains.speaker_extraction.model.losses import si_sdr_db
from distsys.signals.resampling import resampled
from distsys.signals.stft import Stft


def pairs(noise: float, *, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """Estimates and targets, 20 of one second at 8 kHz."""
    generator = torch.Generator().manual_seed(0)
    target = 0.1 * torch.randn(20, 8000, generator=generator, dtype=torch.float64) + offset
    return 0.7 * target + noise * torch.randn(target.shape, generator=generator, dtype=torch.float64), target


@pytest.mark.parametrize("noise", [1e-3, 1e-2, 1e-1, 1.0])
@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_si_sdr_is_the_zero_mean_one(noise: float, offset: float) -> None:
    """Ours adds a millionth of the estimate's energy to both sides, which keeps it within +-60 dB.

    That costs 0.02 dB at 37 dB, and explains all of the difference up to float64 rounding and a floor of 1e-16.
    """
    estimate, target = pairs(noise, offset=offset)
    found = si_sdr_db(estimate, target=target)
    other = scale_invariant_signal_distortion_ratio(estimate, target, zero_mean=True)
    assert torch.allclose(found, other, rtol=0.0, atol=0.03)
    ratio = 10.0 ** (other / 10.0)
    limit = 1e-6 * (1.0 + ratio)
    assert torch.allclose(found, 10.0 * torch.log10((ratio + limit) / (1.0 + limit)), rtol=0.0, atol=1e-9)


def test_si_sdr_is_not_the_one_that_keeps_the_mean() -> None:
    estimate, target = pairs(1e-2, offset=0.05)
    other = scale_invariant_signal_distortion_ratio(estimate + 0.1, target, zero_mean=False)
    assert float((si_sdr_db(estimate + 0.1, target=target) - other).abs().min()) > 1.0


@pytest.mark.parametrize("size", [64, 512])
def test_the_transform_is_scipy_s(size: int) -> None:
    """Same window, hop and zeros beyond the ends, phase counted from a frame's first sample: only float32 differs."""
    samples = pairs(0.0)[1][0].float()
    stft = Stft(size)
    other = ShortTimeFFT(stft.window.double().numpy(), size // 2, fs=1.0, phase_shift=None)
    found = stft(samples[None])[0]
    expected = other.stft(samples.double().numpy(), p0=0, p1=found.shape[1])
    assert np.abs(found.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("up", "down"), [(1, 2), (2, 1), (160, 147), (1, 6)])
def test_resampling_is_that_of_the_spectrum(up: int, down: int) -> None:
    """Sound well below both Nyquist rates, faded in and out as the spectrum is periodic.

    The polyphase filter's pass band ripples by a thousandth (Kaiser, beta 5).
    """
    time = np.arange(8820) / 44100.0
    fade = np.sin(np.pi * np.arange(8820) / 8820) ** 2
    samples = fade * (np.sin(2 * np.pi * 440.0 * time) + 0.5 * np.cos(2 * np.pi * 1700.0 * time))
    expected = resample(samples, len(samples) * up // down)
    assert np.abs(resampled(samples, up=up, down=down) - expected).max() < 2e-3 * np.abs(expected).max()
