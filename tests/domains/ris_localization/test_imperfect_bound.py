"""Bounds of estimators that do not know the array, against limits, each other and repeated estimates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from distsys.domains.ris_localization.config import Config, DataConfig
from distsys.domains.ris_localization.data.bundle import build_data
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.geometry import surface_of, to_physical
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.site import true_site
from distsys.domains.ris_localization.model.localizer import localizer_of
from distsys.domains.ris_localization.score.baselines import baselines
from distsys.domains.ris_localization.score.bound import deviations_of
from distsys.domains.ris_localization.score.imperfect_bound import misspecified_of, uncertain_of

FLAWS = {"gain_db": 1.0, "phase_deg": 8.0, "position_share": 0.02}


def settings(flaws: dict[str, Any], **more: Any) -> DataConfig:
    return DataConfig.model_validate({"num_x": 5, "num_y": 5, "imperfections": flaws} | more)


def scenes(data: DataConfig, count: int, snr_db: float = 20.0) -> dict[str, Tensor]:
    source = SceneSource(data, wave=data.world, seed=4, condition=Condition(snr_db, 0.0, 16), site=true_site(data))
    return dict(source.batch(range(count), progress=0.0))


@pytest.mark.parametrize("measurement", ["array", "coded"])
def test_on_a_perfect_array_both_bounds_are_that_of_a_known_one(measurement: str) -> None:
    data = settings({}, measurement=measurement, num_antennas=8)
    batch = scenes(data, 6)
    known, found = deviations_of(data, batch), misspecified_of(data, batch)
    assert float(found.bias.abs().max()) < 1e-6
    assert torch.allclose(found.deviations, known, rtol=1e-3)
    assert torch.allclose(uncertain_of(data, batch), known, rtol=1e-6)


def test_an_imperfect_array_has_its_bounds_in_the_rows() -> None:
    config = Config.model_validate(
        {"data": {**settings(FLAWS).model_dump(), "validation_scenes": 20, "test_scenes": 20}}
    )
    bundle = build_data(config, seed=0)
    rows = baselines(config, bundle, bundle.validation)
    names = ("CRB", "CRB, uncertain array", "MCRB")
    known, uncertain, trusting = (rows[name].metrics["phi_rmse_deg/snr20"] for name in names)
    assert known < uncertain < trusting
    assert all(rows[name].kind == "bound" for name in names)
    assert rows["greedy ML, true array"].metrics["success"] > rows["greedy ML"].metrics["success"]


def test_without_noise_the_bias_remains() -> None:
    data = settings(FLAWS)
    loud, quiet = (misspecified_of(data, scenes(data, 6, snr_db)) for snr_db in (20.0, 60.0))
    assert torch.allclose(loud.bias, quiet.bias)
    assert torch.allclose(loud.deviations, 100.0 * quiet.deviations, rtol=1e-3)
    assert torch.allclose(quiet.rms, quiet.bias.abs(), rtol=0.05, atol=1e-4)
    assert float(quiet.bias[..., 0].abs().median().rad2deg()) > 0.05


def test_estimates_that_trust_the_nominal_array_have_the_errors_of_the_misspecified_bound() -> None:
    """One scene, 600 draws of its noise."""
    data, count = settings(FLAWS), 600
    one, localizer, site = scenes(data, 1, snr_db=15.0), localizer_of(data), true_site(data)
    clean = site.steering.vectors(one["uvq"].double()).mT @ one["amplitudes"].to(torch.complex128)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, *clean.shape[1:], dtype=torch.complex128, generator=generator)
    noisy = clean + noise * one["noise_variance"].double().sqrt()
    start = one["uvq"].double().expand(count, -1, -1)
    found = to_physical(localizer.likelihood.polish(start, noisy[:, None], steps=25))
    error = found - to_physical(one["uvq"].double())
    bound = misspecified_of(data, one)
    assert torch.allclose(error.mean(dim=0), bound.bias[0], atol=float(0.2 * bound.deviations.max()), rtol=0.1)
    ratio = error.std(dim=0) / bound.deviations[0]
    assert all(value == pytest.approx(1.0, abs=0.12) for value in ratio[:, :2].flatten().tolist()), ratio
    known = deviations_of(data, one)[0]
    assert float((error.square().mean(dim=0).sqrt() / known)[:, 0].max()) > 2.0


def test_uncertain_elements_cost_what_they_are_uncertain_by() -> None:
    data = settings(FLAWS)
    batch = scenes(data, 6)
    known = deviations_of(data, batch)
    size = 25 * 4
    spread = torch.diag(torch.tensor([0.1, 0.1, 1e-3, 1e-3], dtype=torch.float64).square().repeat(25))
    none = uncertain_of(data, batch, torch.zeros(size, size, dtype=torch.float64))
    assert torch.allclose(none, known, rtol=1e-6)
    little, much = (uncertain_of(data, batch, factor * spread) for factor in (0.01, 1.0))
    assert bool((little >= known * (1.0 - 1e-9)).all())
    assert bool((much > little).all())
    common = torch.zeros(size, 1, dtype=torch.float64)
    common[1::4] = 1.0
    assert torch.allclose(uncertain_of(data, batch, 100.0 * common @ common.T), known, rtol=1e-5)


def test_a_tilt_that_may_be_costs_its_own_size() -> None:
    """Far from the array, a phase that is linear in x by 1 mrad of u is a source that stands elsewhere by as much."""
    data = settings({}, min_sources=1, max_sources=1, min_range_m=900.0, max_range_m=1000.0, max_phi_deg=5.0)
    batch = scenes(data, 3, snr_db=60.0)
    wavenumber = true_site(data).steering.wavenumber
    tilt = torch.zeros(100, 1, dtype=torch.float64)
    tilt[1::4, 0] = wavenumber * surface_of(data).positions_m()[:, 0]
    found = uncertain_of(data, batch, 1e-6 * tilt @ tilt.T)
    known = deviations_of(data, batch)
    expected = (known[..., 0].square() + 1e-6).sqrt()
    cosine = to_physical(batch["uvq"].double())[..., :2].cos().prod(dim=-1)
    assert torch.allclose(found[..., 0] * cosine, expected, rtol=0.05)
