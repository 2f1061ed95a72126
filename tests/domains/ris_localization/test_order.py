"""The number of sources, and distances between sets of them that may differ in size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from distsys.domains.ris_localization.config import Config, DataConfig
from distsys.domains.ris_localization.data.bundle import build_data
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.geometry import from_physical
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.model.localizer import localizer_of
from distsys.domains.ris_localization.model.order import order_by_eigenvalues, order_by_likelihood
from distsys.domains.ris_localization.score.baselines import baselines
from distsys.domains.ris_localization.score.gospa import gospa_m
from tests.domains.ris_localization.support import complex_normal

DATA = DataConfig(num_x=6, num_y=6, min_sources=1, max_sources=3)


def scenes(count: int, snr_db: float, correlation: float) -> dict[str, Tensor]:
    source = SceneSource(DATA, wave=DATA.world, seed=3, condition=Condition(snr_db, correlation, 16))
    return dict(source.batch(range(count), progress=0.0))


def share(number: Tensor, batch: dict[str, Tensor]) -> float:
    return float((number == batch["num_sources"]).double().mean())


def test_likelihood_counts_coherent_sources_and_eigenvalues_take_them_for_one() -> None:
    batch, localizer = scenes(30, 20.0, 1.0), localizer_of(DATA)
    found = order_by_likelihood(localizer, batch["snapshots"], most=4, num_snapshots=batch["num_snapshots"])
    assert share(found.num_sources, batch) >= 0.9
    assert bool((order_by_eigenvalues(batch["snapshots"], most=4, rule="mdl") == 1).all())
    right = found.num_sources == batch["num_sources"]
    distance = gospa_m(found.uvq, found.num_sources, true_uvq=batch["uvq"], num_sources=batch["num_sources"])
    assert float(distance[right].median()) < 0.2


@pytest.mark.parametrize("rule", ["mdl", "aic"])
def test_eigenvalues_count_independent_sources(rule: str) -> None:
    batch = scenes(100, 10.0, 0.0)
    assert share(order_by_eigenvalues(batch["snapshots"], most=4, rule=rule), batch) > 0.9  # type: ignore[arg-type]


def test_noise_alone_holds_no_source() -> None:
    noise = complex_normal(12, 36, 16)
    found = order_by_likelihood(localizer_of(DATA), noise, most=3, num_snapshots=torch.full((12,), 16))
    assert found.num_sources.tolist() == [0] * 12
    assert not bool(found.uvq.any())
    assert order_by_eigenvalues(noise, most=3, rule="mdl").tolist() == [0] * 12


def test_eigenvalues_of_a_known_spectrum_give_the_rule_of_wax_and_kailath() -> None:
    """Singular values 10, 1, 1 of 3 x 400: likelihood ratio and penalty of MDL worked out by hand."""
    snapshots = torch.zeros(1, 3, 400, dtype=torch.complex128)
    for row, size in enumerate((10.0, 1.0, 1.0)):
        snapshots[0, row, row] = size
    unlike = math.log(102.0 / 3.0) - math.log(100.0) / 3.0
    none, one = 400 * 3 * unlike, 0.5 * 1 * 5 * math.log(400)
    assert none > one
    assert order_by_eigenvalues(snapshots, most=2, rule="mdl").tolist() == [1]
    near = snapshots.clone()
    near[0, 0, 0] = 1.02
    assert order_by_eigenvalues(near, most=2, rule="mdl").tolist() == [0]


def places(*rows: tuple[float, float, float]) -> Tensor:
    return from_physical(torch.tensor([rows], dtype=torch.float64))


def test_gospa_is_what_a_hand_finds() -> None:
    truth = places((0.0, 0.0, 2.0), (0.0, 0.0, 5.0))
    two, one = torch.tensor([2]), torch.tensor([1])
    near = places((0.0, 0.0, 5.3), (0.0, 0.0, 2.4))
    assert float(gospa_m(near, two, true_uvq=truth, num_sources=two)) == pytest.approx(0.5)
    assert float(gospa_m(near, one, true_uvq=truth, num_sources=two)) == pytest.approx(math.sqrt(0.09 + 0.5))
    assert float(gospa_m(near, 0 * one, true_uvq=truth, num_sources=two)) == pytest.approx(1.0)
    far = places((0.0, 0.0, 8.0), (0.0, 0.0, 2.4))
    assert float(gospa_m(far, two, true_uvq=truth, num_sources=two)) == pytest.approx(math.sqrt(0.16 + 1.0))
    assert float(gospa_m(truth.flip(1), two, true_uvq=truth, num_sources=two)) == pytest.approx(0.0, abs=1e-9)
    assert float(gospa_m(truth * torch.nan, two, true_uvq=truth, num_sources=two)) == pytest.approx(math.sqrt(2.0))


def test_rows_of_an_unknown_number_stand_where_it_varies() -> None:
    config = Config(data=DataConfig(num_x=4, num_y=4, min_sources=1, validation_scenes=20, test_scenes=20))
    bundle = build_data(config, seed=0)
    rows = baselines(config, bundle, bundle.validation)
    greedy = rows["greedy ML, unknown number"].metrics
    for name in ("MDL", "AIC"):
        assert rows[name].metrics["order_accuracy/snr20"] < greedy["order_accuracy/snr20"]
    assert greedy["gospa_m/snr20"] < greedy["gospa_m/snr0"]
