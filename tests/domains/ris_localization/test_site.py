"""Imperfect arrays and surfaces: drawn for a site, seen by frozen sets and bounds, and never by estimators."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from distsys.domains.ris_localization.config import Config, DataConfig, Imperfections
from distsys.domains.ris_localization.data.bundle import build_data
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.geometry import surface_of
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.sensing import sensing_of
from distsys.domains.ris_localization.data.site import assumed_site, offsets, true_site
from distsys.domains.ris_localization.data.truth import true_columns
from distsys.domains.ris_localization.model.likelihood import Likelihood
from distsys.domains.ris_localization.model.localizer import localizer_of
from distsys.domains.ris_localization.score.bound import deviations_of

USUAL: dict[str, Any] = {"gain_db": 1.5, "phase_deg": 30.0, "position_share": 0.05}


def imperfect(site: int = 0, flaws: dict[str, Any] | None = None, **data: Any) -> DataConfig:
    return DataConfig.model_validate({"site": site, "imperfections": USUAL if flaws is None else flaws, **data})


def scenes(data: DataConfig, count: int = 20, snr_db: float = 200.0) -> dict[str, torch.Tensor]:
    source = SceneSource(data, wave=data.world, seed=0, condition=Condition(snr_db, 0.0, 16), site=true_site(data))
    return dict(source.batch(range(count), progress=0.0))


def test_errors_are_drawn_for_a_site_and_have_the_spread_that_was_asked_for() -> None:
    site = true_site(imperfect(num_x=30, num_y=30))
    response = site.steering.response
    assert response is not None
    assert float(response.gains.angle().rad2deg().std()) == pytest.approx(30.0, rel=0.1)
    assert float((20.0 * response.gains.abs().log10()).std()) == pytest.approx(1.5, rel=0.1)
    shift = site.steering.positions_m - surface_of(imperfect(num_x=30, num_y=30)).positions_m()
    assert float(shift.std()) == pytest.approx(0.05 * 0.15, rel=0.1)
    again, other = (true_site(imperfect(number, num_x=30, num_y=30)).steering.response for number in (0, 1))
    assert again is not None
    assert other is not None
    assert torch.equal(again.gains, response.gains)
    assert abs(float((other.gains.angle() * response.gains.angle()).mean())) < 0.1 * math.radians(30.0) ** 2


def test_a_perfect_array_is_what_is_assumed() -> None:
    data = DataConfig()
    site = true_site(data)
    assert site.steering.response is None
    assert site.noise_root is None
    uvq = torch.tensor([[0.3, 0.1, 0.4]], dtype=torch.float64)
    assert torch.equal(site.steering.vectors(uvq), assumed_site(data, "exact").steering.vectors(uvq))


def test_frozen_sets_and_bounds_see_the_errors_and_estimators_do_not() -> None:
    sizes = {"num_x": 4, "num_y": 4, "validation_scenes": 20, "test_scenes": 20}
    plain, flawed = (
        Config.model_validate({"data": {**sizes, "imperfections": flaws}}) for flaws in ({}, {**USUAL, "coupling": 0.1})
    )
    first, second = (build_data(config, seed=0) for config in (plain, flawed))
    index = range(8)
    train, other = (bundle.train.batch(index, progress=0.0)["snapshots"] for bundle in (first, second))
    assert torch.equal(train, other)
    assert first.validation.digest != second.validation.digest
    assert first.test.digest != second.test.digest
    batch = second.validation.batches[2]
    assert torch.equal(true_columns(flawed.data, batch), true_columns(plain.data, batch))
    assert not torch.allclose(deviations_of(flawed.data, batch), deviations_of(plain.data, batch), rtol=1e-3)


COUPLED, PARTLY_DEAD = {**USUAL, "coupling": 0.2, "coupling_band": 2}, {**USUAL, "dead_share": 0.1}


@pytest.mark.parametrize(
    ("measurement", "flaws"),
    [
        ("array", COUPLED),
        ("array", PARTLY_DEAD),
        ("coded", COUPLED),
        ("coded", PARTLY_DEAD),
        ("coded", {"code_bits": 1}),
        ("coded", {"code_bias_deg": 20.0}),
    ],
)
def test_snapshots_lie_in_the_span_of_the_true_site_and_not_of_the_nominal(
    measurement: str, flaws: dict[str, Any]
) -> None:
    data = imperfect(flaws=flaws, measurement=measurement, num_x=4, num_y=4, num_antennas=6)
    batch, site, nominal = scenes(data), true_site(data), localizer_of(data)
    truth = Likelihood(site.steering, site.sensing, nominal.surface)
    grouped = nominal.grouped(batch["snapshots"])
    power = batch["snapshots"].abs().square().sum(dim=(1, 2))
    assert float((truth.cost(batch["uvq"].double(), grouped) / power).max()) < 1e-9
    assert float((nominal.likelihood.cost(batch["uvq"].double(), grouped) / power).min()) > 1e-3


def test_dead_elements_hear_noise_alone() -> None:
    data = imperfect(flaws={"dead_share": 0.125})
    level = scenes(data)["snapshots"].abs().square().mean(dim=(0, 2))
    assert int((level < 1e-15).sum()) == 8


def test_coupling_is_reciprocal_banded_and_falls_with_distance() -> None:
    data = imperfect(flaws={"coupling": 0.1, "coupling_band": 2}, num_x=5, num_y=5)
    response = true_site(data).steering.response
    assert response is not None
    assert response.coupling is not None
    matrix = response.coupling
    assert torch.equal(matrix, matrix.mT)
    middle = matrix[12].abs()
    assert float(middle[12]) == 1.0
    assert middle[[11, 13, 7, 17]].tolist() == pytest.approx([0.1] * 4)
    assert float(middle[10]) == pytest.approx(0.01)
    narrow = true_site(imperfect(flaws={"coupling": 0.1}, num_x=5, num_y=5)).steering.response
    assert narrow is not None
    assert narrow.coupling is not None
    assert float(narrow.coupling[12].abs()[10]) == 0.0
    assert len(offsets(surface_of(data), 1)) == 4


def test_derivatives_of_an_imperfect_array_are_those_of_its_vectors() -> None:
    steering = true_site(imperfect(flaws={**USUAL, "coupling": 0.2})).steering
    uvq = torch.tensor([[0.3, 0.1, 0.4]], dtype=torch.float64)
    found = steering.with_derivatives(uvq)[1][0]
    for column in range(3):
        step = torch.zeros(1, 3, dtype=torch.float64)
        step[0, column] = 1e-6
        slope = (steering.vectors(uvq + step) - steering.vectors(uvq - step))[0] / 2e-6
        assert torch.allclose(found[column], slope, atol=1e-7)


def test_coarse_codes_take_the_nearest_phase_and_biased_ones_repeat_their_error() -> None:
    data = imperfect(flaws={"code_bits": 1}, measurement="coded", num_x=4, num_y=4, num_antennas=6)
    asked, taken = (sensing.matrices for sensing in (sensing_of(data), true_site(data).sensing))
    assert asked is not None
    assert taken is not None
    turn = (taken[0] / taken[1]).angle()
    assert torch.allclose(turn.sin(), torch.zeros_like(turn), atol=1e-9)
    assert float((asked / taken).angle().abs().max()) <= math.pi / 2 + 1e-9
    biased = true_site(data.model_copy(update={"imperfections": Imperfections(code_bias_deg=10.0)})).sensing.matrices
    assert biased is not None
    errors = (biased / asked).angle().rad2deg()[:, 0]
    assert float(errors.std()) == pytest.approx(10.0, rel=0.25)
    assert max(len(set(errors[:, element].mul(1e6).round().tolist())) for element in range(16)) <= 8


def test_coloured_noise_has_the_power_and_the_correlation_that_were_asked_for() -> None:
    data = imperfect(flaws={"noise_correlation": 0.6}, num_x=4, num_y=4)
    noise = scenes(data, count=500, snr_db=-100.0)["snapshots"].movedim(1, 0).flatten(1) * 1e-5
    covariance = noise @ noise.mH / noise.shape[1]
    assert covariance.diagonal().real.tolist() == pytest.approx([1.0] * 16, abs=0.05)
    assert abs(complex(covariance[0, 1])) == pytest.approx(0.6, abs=0.05)
    assert abs(complex(covariance[0, 5])) == pytest.approx(0.36, abs=0.05)


def test_a_bound_in_coloured_noise_is_that_in_white_noise_after_whitening() -> None:
    data = imperfect(flaws={"noise_correlation": 0.6})
    batch = scenes(data, snr_db=10.0)
    bound, white = (deviations_of(item, batch) for item in (data, DataConfig()))
    assert bool((bound > 0).all())
    assert not torch.allclose(bound, white, rtol=1e-2)
    small = imperfect(flaws={"noise_correlation": 1e-9})
    assert torch.allclose(deviations_of(small, batch), white, rtol=1e-6)


def test_a_device_makes_the_imperfect_scenes_that_the_host_makes() -> None:
    data = imperfect(flaws={**USUAL, "coupling": 0.1, "noise_correlation": 0.3})
    source = SceneSource(data, wave=data.world, seed=2, site=true_site(data))
    usual, there = (made.batch(range(6), progress=0.0) for made in (source, source.on(torch.device("cpu"))))
    torch.testing.assert_close(there["snapshots"], usual["snapshots"], rtol=1e-5, atol=1e-5)


def test_codes_of_an_array_are_refused() -> None:
    with pytest.raises(ValidationError, match="need measurement: coded"):
        imperfect(flaws={"code_bias_deg": 5.0})
