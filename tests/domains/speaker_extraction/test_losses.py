"""Each term: by hand, against a reference, its floor, what it is blind to, silence, and queries it does not concern."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from distsys.domains.speaker_extraction.model.losses import (
    amplitude_loss,
    rms_ratio,
    si_sdr_db,
    si_sdr_loss,
    spectral_loss,
    ta_energy_loss,
)
from distsys.signals.levels import energy_db

ALL = torch.ones(2, 2, dtype=torch.bool)


def signals(seed: int = 0, shape: tuple[int, ...] = (2, 2, 400)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(shape, generator=generator, dtype=torch.float64)
    return target + 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64), target


def test_si_sdr_of_an_orthogonal_error_is_their_energy_ratio() -> None:
    time = torch.arange(800, dtype=torch.float64) * 2.0 * math.pi / 80.0
    target, error = torch.sin(time), torch.cos(time)
    assert float(si_sdr_db(target + error / math.sqrt(10.0), target=target)) == pytest.approx(10.0, abs=1e-4)
    assert float(si_sdr_db(error, target=target)) == pytest.approx(-60.0, abs=0.01)


def test_si_sdr_agrees_with_the_formula_in_float64() -> None:
    estimate, target = signals()
    found = si_sdr_db(estimate.float(), target=target.float())
    for index in np.ndindex(2, 2):
        e, t = (item[index].numpy() - item[index].numpy().mean() for item in (estimate, target))
        scaled = (e @ t) / (t @ t) * t
        wanted = 10.0 * np.log10((scaled @ scaled) / ((e - scaled) @ (e - scaled)))
        assert float(found[index]) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("gain", [1e-3, 0.5, 1e3])
def test_si_sdr_ignores_scale_and_offset(gain: float) -> None:
    estimate, target = signals()
    before = si_sdr_db(estimate, target=target)
    assert torch.allclose(si_sdr_db(gain * estimate + 0.2 * gain, target=2.0 * target - 1.0), before, atol=1e-6)


def test_si_sdr_is_bounded_for_a_perfect_and_for_a_silent_estimate() -> None:
    _, target = signals()
    assert torch.allclose(si_sdr_db(target, target=target), torch.tensor(60.0, dtype=torch.float64), atol=0.01)
    assert torch.allclose(si_sdr_db(0.0 * target, target=target), torch.tensor(-60.0, dtype=torch.float64), atol=0.01)
    assert bool(si_sdr_db(target * math.nan, target=target).isnan().all())


def test_amplitude_is_a_squared_logarithm_flat_at_one() -> None:
    _, target = signals()
    assert float(amplitude_loss(0.738 * target, target=target, present=ALL)) == pytest.approx(0.0923, abs=1e-4)
    half, double = (amplitude_loss(gain * target, target=target, present=ALL) for gain in (0.5, 2.0))
    assert float(half) == pytest.approx(float(double), rel=1e-9)
    gain = torch.ones((), dtype=torch.float64, requires_grad=True)
    amplitude_loss(gain * target, target=target, present=ALL).backward()
    assert gain.grad is not None
    assert abs(float(gain.grad)) < 1e-9


def test_ta_energy_is_the_excess_over_the_target_and_never_negative() -> None:
    flat = torch.full((1, 1, 100), 0.1)  # -20 dB
    absent = torch.zeros(1, 1, dtype=torch.bool)
    for gain, reference_db, excess in ((1.0, 0.0, 10.0), (0.1, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, -20.0, 30.0)):
        reference = torch.full((1, 1), reference_db)
        found = ta_energy_loss(gain * flat, reference_db=reference, target_db=-30.0, present=absent)
        assert float(found) == pytest.approx(excess, abs=1e-3)
    assert float(energy_db(torch.zeros(5))) == pytest.approx(-100.0)


def test_spectral_loss_is_zero_when_equal_and_one_for_silence() -> None:
    target = torch.view_as_complex(torch.randn(2, 2, 9, 7, 2, generator=torch.Generator().manual_seed(0)))
    assert float(spectral_loss(target, target=target, present=ALL)) == 0.0
    assert float(spectral_loss(0.0 * target, target=target, present=ALL)) == pytest.approx(1.0, abs=1e-6)
    for scale in (1e-3, 1e3):
        scaled = spectral_loss(scale * 0.5 * target, target=scale * target, present=ALL)
        assert float(scaled) == pytest.approx(0.5, rel=1e-5)


def spectrum(samples: Tensor) -> Tensor:
    return torch.fft.rfft(samples)[..., None]


Term = Callable[[Tensor, Tensor, Tensor], Tensor]
TERMS: dict[str, Term] = {
    "sisdr": lambda e, t, p: si_sdr_loss(e, target=t, present=p),
    "amp": lambda e, t, p: amplitude_loss(e, target=t, present=p),
    "ta_energy": lambda e, t, p: ta_energy_loss(e, reference_db=energy_db(t), target_db=-30.0, present=p),
    "phase": lambda e, t, p: spectral_loss(spectrum(e), target=spectrum(t), present=p),
}


@pytest.mark.parametrize("name", TERMS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    estimate, target = signals(shape=(2, 2, 12))
    present = torch.tensor([[True, False], [False, True]])
    assert torch.autograd.gradcheck(lambda e: TERMS[name](e, target, present), estimate.requires_grad_())


@pytest.mark.parametrize("name", TERMS)
def test_a_batch_without_a_concerned_query_gives_zero_and_zero_gradients(name: str) -> None:
    estimate, target = signals()
    present = torch.full((2, 2), name == "ta_energy")
    silent = torch.zeros_like(target) if name != "ta_energy" else target
    value = TERMS[name](estimate.requires_grad_(), silent, present)
    value.backward()
    assert float(value.detach()) == 0.0
    assert estimate.grad is not None
    assert not bool(estimate.grad.any())


@pytest.mark.parametrize("name", TERMS)
def test_queries_count_alike_and_not_by_branch(name: str) -> None:
    """One absent target beside three present ones has a quarter of the say (it once had half)."""
    estimate, target = signals()
    chosen = torch.zeros(2, 2, dtype=torch.bool)
    chosen[0, 1] = True
    mask = ~chosen if name == "ta_energy" else chosen
    alone = TERMS[name](estimate[:1, 1:], target[:1, 1:], mask[:1, 1:])
    assert float(TERMS[name](estimate, target, mask)) == pytest.approx(float(alone) / 4.0, rel=1e-9)


@pytest.mark.parametrize("name", TERMS)
def test_nan_is_passed_on(name: str) -> None:
    estimate, target = signals()
    assert math.isnan(float(TERMS[name](estimate * math.nan, target, ALL if name != "ta_energy" else ~ALL)))


def test_rms_ratio_of_silence_against_silence_is_finite() -> None:
    assert math.isfinite(float(rms_ratio(torch.zeros(10), target=torch.zeros(10))))
