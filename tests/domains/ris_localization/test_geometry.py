"""Steering vectors against the spherical wave written out, their derivatives, and the two sets of coordinates."""

from __future__ import annotations

import cmath
import math
from itertools import product

import pytest
import torch

from distsys.domains.ris_localization.config import DataConfig, SteeringModel
from distsys.domains.ris_localization.data.geometry import cartesian_m, from_physical, surface_of, to_physical
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.score.mismatch import steering_bias
from tests.domains.ris_localization.support import EIGHT, places

MODELS: tuple[SteeringModel, ...] = ("exact", "fresnel", "paraxial")


def naive(phi: float, theta: float, range_m: float) -> list[complex]:
    """The spherical wave, one element at a time, from Cartesian distances."""
    source = (
        range_m * math.sin(phi) * math.cos(theta),
        range_m * math.sin(theta),
        range_m * math.cos(phi) * math.cos(theta),
    )
    values = []
    for ix, iy in product(range(8), range(8)):
        element = ((ix - 3.5) * 0.15, (iy - 3.5) * 0.15, 0.0)
        phase = 2.0 * math.pi / 0.3 * (range_m - math.dist(source, element))
        values.append(cmath.exp(1j * phase) / 8.0)
    return values


def test_exact_steering_is_the_spherical_wave() -> None:
    place = places(20, 1)[:, 0]
    found = Steering.of(EIGHT).vectors(from_physical(place))
    expected = torch.tensor([naive(*row) for row in place.tolist()])
    assert torch.allclose(found, expected.to(found), atol=1e-12)
    assert torch.allclose(found.norm(dim=-1), torch.ones(20, dtype=torch.float64))


def test_float32_keeps_the_phase_at_any_range() -> None:
    place = places(200, 1)[:, 0]
    place[:50, 2] = 1e5
    exact = Steering.of(EIGHT).vectors(from_physical(place))
    single = Steering.of(EIGHT).vectors(from_physical(place).float())
    assert float((single - exact).abs().max()) * 8.0 < 2e-5


@pytest.mark.parametrize("model", MODELS)
def test_derivatives_are_those_of_the_vectors(model: SteeringModel) -> None:
    steering = Steering.of(EIGHT, model)
    uvq = from_physical(places(3, 2))
    vectors, derivatives = steering.with_derivatives(uvq)
    assert torch.equal(vectors, steering.vectors(uvq))
    step = 1e-6
    for axis in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[axis] = step
        numeric = (steering.vectors(uvq + shift) - steering.vectors(uvq - shift)) / (2 * step)
        assert torch.allclose(derivatives[..., axis, :], numeric, atol=1e-7)


def test_simpler_waves_agree_far_away_and_fresnel_is_second_order() -> None:
    far = from_physical(torch.tensor([[0.7, 0.3, 1e4]], dtype=torch.float64))
    near = from_physical(torch.tensor([[0.7, 0.3, 4.0]], dtype=torch.float64))
    waves = {model: Steering.of(EIGHT, model) for model in MODELS}
    for model in MODELS:
        assert torch.allclose(waves[model].vectors(far), waves["exact"].vectors(far), atol=1e-3)
    gap = {model: float((waves[model].vectors(near) - waves["exact"].vectors(near)).norm()) for model in MODELS}
    assert gap["fresnel"] < 0.15 < gap["paraxial"]


def test_coordinates_are_inverse_to_each_other_over_the_region_and_its_edges() -> None:
    edge = torch.tensor(
        [[math.radians(60), math.radians(30), 0.5], [-math.radians(60), -math.radians(30), 10.0]]
    ).double()
    place = torch.cat([places(500, 1)[:, 0], edge])
    assert torch.allclose(to_physical(from_physical(place)), place, rtol=1e-9, atol=1e-9)
    assert torch.allclose(EIGHT.clamp(from_physical(place)), from_physical(place), atol=1e-7)
    assert torch.allclose(cartesian_m(place).norm(dim=-1), place[:, 2])


def test_the_region_clamps_to_its_nearest_edge() -> None:
    outside = from_physical(
        torch.tensor([[1.4, 0.0, 5.0], [0.0, 0.9, 5.0], [0.1, 0.1, 0.1], [0.1, 0.1, 50.0]]).double()
    )
    inside = to_physical(EIGHT.clamp(outside))
    assert inside[:, 2].tolist() == pytest.approx([5.0, 5.0, 0.5, 10.0])
    assert inside[0, 0] == pytest.approx(math.radians(60))


def test_the_array_is_centred_and_half_a_wavelength_apart() -> None:
    positions = surface_of(DataConfig(num_x=3, num_y=4)).positions_m()
    assert positions.mean(dim=0).abs().max() < 1e-15
    assert positions[1, 1] - positions[0, 1] == pytest.approx(0.15)
    assert positions[4, 0] - positions[0, 0] == pytest.approx(0.15)


def test_paraxial_waves_are_biased_by_degrees_near_by_and_fresnel_less() -> None:
    ranges_m, paraxial = steering_bias(EIGHT, "paraxial")
    fresnel = steering_bias(EIGHT, "fresnel")[1]
    exact = steering_bias(EIGHT, "exact")[1]
    assert exact.abs().max() < 1e-6
    near = int((ranges_m - 1.0).abs().argmin())
    assert 2.0 < float(paraxial[near, 0]) < 6.0
    assert 0.1 < float(paraxial[near, 1]) < 0.5
    assert 1.5 < float(paraxial[-1, 1]) < 5.0
    assert bool((fresnel[:, 1] < paraxial[:, 1]).all())
