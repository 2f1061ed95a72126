"""Simulated scenes: their powers, their correlations, their determinism, and one steering for everybody."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from distsys.domains.draws import complex_normals, uniforms
from distsys.domains.ris_localization.config import Config, DataConfig
from distsys.domains.ris_localization.data.bundle import build_data
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.geometry import to_physical
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.sensing import sensing_of
from distsys.domains.ris_localization.data.truth import true_columns
from distsys.domains.ris_localization.model.localizer import localizer_of


def scenes(data: DataConfig, count: int, condition: Condition, seed: int = 0) -> dict[str, torch.Tensor]:
    return dict(SceneSource(data, wave=data.world, seed=seed, condition=condition).batch(range(count), progress=0))


def correlation(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """|<s1, s2>| over the snapshots of each scene, normalised."""
    first, second = batch["amplitudes"][:, 0], batch["amplitudes"][:, 1]
    return ((first.conj() * second).sum(dim=1).abs() / (first.norm(dim=1) * second.norm(dim=1))).double()


def test_draws_are_uniform_normal_and_a_function_of_their_index() -> None:
    flat = uniforms(range(4000), seed=3, num_lanes=5)
    assert flat.min() > 0.0
    assert flat.max() < 1.0
    assert abs(flat.mean() - 0.5) < 0.01
    bell = complex_normals(range(4000), seed=3, num_lanes=5)
    assert abs((abs(bell) ** 2).mean() - 1.0) < 0.03
    assert abs((bell**2).mean()) < 0.03
    assert (uniforms([17], seed=3, num_lanes=5)[0] == flat[17]).all()
    assert (uniforms([17], seed=4, num_lanes=5)[0] != flat[17]).any()


def test_snr_is_that_of_each_element_and_source() -> None:
    data = DataConfig(min_sources=1, max_sources=1)
    batch = scenes(data, 400, Condition(7.0, 1.0, 16))
    clean = true_columns(data, batch) @ batch["amplitudes"]
    noise = batch["snapshots"] - clean
    ratio = float(clean.abs().square().mean() / noise.abs().square().mean())
    assert 10.0 * torch.tensor(ratio).log10() == pytest.approx(7.0, abs=0.3)
    assert float(noise.abs().square().mean()) == pytest.approx(float(batch["noise_variance"][0]), rel=0.01)


def test_coherent_sources_are_copies_and_independent_ones_are_not() -> None:
    """One draw a scene in place of one a snapshot would make every pair coherent by accident."""
    data = DataConfig(num_snapshots=200)
    assert float(correlation(scenes(data, 50, Condition(10.0, 1.0, 200))).min()) == pytest.approx(1.0, abs=1e-5)
    assert float(correlation(scenes(data, 50, Condition(10.0, 0.5, 200))).mean()) == pytest.approx(0.5, abs=0.05)
    assert float(correlation(scenes(data, 50, Condition(10.0, 0.0, 200))).mean()) < 0.1


def test_powers_snapshots_and_sources_vary_as_configured() -> None:
    data = DataConfig(min_sources=1, max_sources=3, power_spread_db=6.0, few_share=0.5)
    batch = SceneSource(data, wave=data.steering, seed=1).batch(range(2000), progress=0.0)
    assert batch["num_sources"].unique().tolist() == [1, 2, 3]
    assert batch["num_snapshots"].min() == 1
    assert float((batch["num_snapshots"] == 16).double().mean()) == pytest.approx(0.5, abs=0.05)
    for index in (0, 7, 40):
        assert not bool(batch["snapshots"][index, :, batch["num_snapshots"][index] :].any())
        assert not bool(batch["uvq"][index, batch["num_sources"][index] :].any())
    assert float(batch["snr_db"].min()) >= -5.0
    assert float(batch["snr_db"].max()) <= 20.0
    first = batch["uvq"][:, 0].double()
    phi, theta, range_m = to_physical(first).unbind(-1)
    assert float(phi.rad2deg().std()) == pytest.approx(34.64, rel=0.05)
    assert float(theta.rad2deg().std()) == pytest.approx(17.32, rel=0.05)
    assert float(range_m.std()) == pytest.approx(2.742, rel=0.05)


@pytest.mark.parametrize("measurement", ["array", "coded"])
def test_data_loss_and_inference_share_one_steering(measurement: str) -> None:
    """Snapshots without noise lie in the span that the loss and the likelihood see."""
    data = DataConfig.model_validate({"measurement": measurement, "num_x": 4, "num_y": 4, "num_antennas": 6})
    batch = scenes(data, 20, Condition(200.0, 0.0, 16))
    localizer = localizer_of(data)
    cost = localizer.likelihood.cost(batch["uvq"].double(), localizer.grouped(batch["snapshots"]))
    assert float(cost.max() / batch["snapshots"].abs().square().sum(dim=(1, 2)).min()) < 1e-9
    expected = localizer.steering.vectors(batch["uvq"]).mT
    assert torch.equal(true_columns(data, batch), expected)
    if measurement == "array":
        assert torch.allclose(batch["snapshots"], expected @ batch["amplitudes"], atol=1e-4)


def test_another_world_is_seen_by_the_frozen_sets_only() -> None:
    config = Config.model_validate({"data": {"steering": "paraxial", "validation_scenes": 20, "test_scenes": 20}})
    same = build_data(config, seed=0)
    other = build_data(Config(data=config.data.model_copy(update={"world": "paraxial"})), seed=0)
    index = range(4)
    assert torch.equal(
        same.train.batch(index, progress=0.0)["snapshots"], other.train.batch(index, progress=0.0)["snapshots"]
    )
    assert same.test.digest != other.test.digest


def test_coded_measurements_use_one_code_a_snapshot_and_a_fixed_site() -> None:
    data = DataConfig(measurement="coded", num_x=4, num_y=4, num_antennas=6)
    matrices = sensing_of(data).matrices
    assert matrices is not None
    assert matrices.shape == (16, 6, 16)
    again = sensing_of(data).matrices
    assert again is not None
    assert torch.equal(matrices, again)
    turn = matrices[0] / matrices[1]
    assert torch.allclose(turn.abs(), torch.ones_like(turn.abs()))
    steps = turn.angle() / (2 * torch.pi / 8)
    assert torch.allclose(steps, steps.round(), atol=1e-6)
    other = sensing_of(data.model_copy(update={"site": 1})).matrices
    assert other is not None
    assert not torch.equal(matrices, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_sources": 4}, "less than or equal to 3"),
        ({"min_sources": 3}, "min_sources 3 is above max_sources 2"),
        ({"coherent_share": 0.8, "partial_share": 0.3}, "add up to more than 1"),
        ({"min_range_m": 0.0}, "greater than 0"),
        ({"measurement": "coded", "num_antennas": 2}, "max_sources 2 needs more than 2 channels"),
        ({"max_phi_deg": 1000.0}, "less than 90"),
    ],
)
def test_impossible_scenes_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataConfig.model_validate(change)


@pytest.mark.parametrize("measurement", ["array", "coded"])
def test_a_device_makes_the_scenes_that_the_host_makes(measurement: str) -> None:
    data = DataConfig.model_validate({"measurement": measurement, "min_sources": 1, "max_sources": 3})
    source = SceneSource(data, wave=data.world, seed=2)
    usual, there = (made.batch(range(40, 60), progress=0.0) for made in (source, source.on(torch.device("cpu"))))
    picked = source.on(torch.device("cpu")).batch([41, 59], progress=0.0)
    assert usual.keys() == there.keys()
    for name, tensor in usual.items():
        torch.testing.assert_close(there[name], tensor, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(picked[name], there[name][[1, 19]], rtol=0.0, atol=0.0)
