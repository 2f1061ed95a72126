"""The contract on small surfaces, what the network does not see, and the collapse that alignment alone leads to."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from distsys.domains.protocol import Batch, DataBundle
from distsys.domains.ris_localization import RisLocalization
from distsys.domains.ris_localization.config import Config, DataConfig
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.truth import true_columns
from distsys.domains.ris_localization.model.network import CovarianceNet
from distsys.domains.ris_localization.model.subspace import aligned, main_eigenvectors
from distsys.testing.contract import DomainContract
from distsys.testing.subject import Overfit
from distsys.training.evaluate import evaluate
from distsys.training.judge import Judge

SMALL = (
    "data.num_x=4",
    "data.num_y=4",
    "data.validation_scenes=20",
    "data.test_scenes=20",
    "model.width=48",
    "model.depth=2",
)


class TestRisLocalization(DomainContract):
    domain_name = "ris_localization"
    overrides = SMALL
    overfit = Overfit("covariance", rate=1e-2, share=0.05)


class TestCodedSurface(DomainContract):
    domain_name = "ris_localization"
    overrides = (*SMALL, "data.measurement=coded", "data.num_antennas=6", "data.min_sources=1", "data.max_sources=3")
    overfit = Overfit("covariance", rate=1e-2, share=0.05)


def tiny() -> tuple[Config, DataBundle]:
    config = Config.model_validate(
        {
            "data": {
                "num_x": 4,
                "num_y": 4,
                "validation_scenes": 40,
                "test_scenes": 20,
                "coherent_share": 1.0,
                "partial_share": 0.0,
            },
            "model": {"width": 48, "depth": 2},
        }
    )
    return config, RisLocalization().build_data(config, seed=0)


def terms_of(model: CovarianceNet, batch: Batch) -> Mapping[str, Tensor]:
    """The loss terms of ``batch``."""
    domain = RisLocalization()
    outputs = domain.forward(model, batch, generator=torch.Generator())
    return domain.loss_terms(outputs, batch, config=model.config)


def trained(weights: Mapping[str, float], steps: int) -> tuple[CovarianceNet, DataBundle]:
    config, bundle = tiny()
    torch.manual_seed(0)
    model = CovarianceNet(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = bundle.train.batch(range(64 * step, 64 * (step + 1)), progress=0.0)
        terms = terms_of(model, batch)
        optimizer.zero_grad()
        torch.stack([weight * terms[name] for name, weight in weights.items()]).sum().backward()
        optimizer.step()
    return model, bundle


def verdicts(model: CovarianceNet, bundle: DataBundle) -> list[str]:
    """The evidence of each."""
    domain = RisLocalization()
    found = evaluate(domain, model, bundle.validation, constraints=domain.constraints)
    return [verdict.evidence for verdict in Judge(domain.selection, domain.constraints).verdicts(found, step=0)]


def test_alignment_alone_is_detected_as_rank_collapse() -> None:
    """The loss falls, the rank goes with it, and the constraint names it; beside the covariance term it holds."""
    collapsed, bundle = trained({"subspace_align": 1.0}, steps=250)
    complaints = verdicts(collapsed, bundle)
    (evidence,) = [text for text in complaints if text.startswith("eigenvalue_ratio")]
    assert float(evidence.split()[2].rstrip(",")) < 0.05
    kept, bundle = trained({"covariance": 1.0, "subspace_align": 0.05}, steps=250)
    assert not any(text.startswith("eigenvalue_ratio") for text in verdicts(kept, bundle))


def test_an_untrained_network_is_refused_because_music_does_better_without_it() -> None:
    config, bundle = tiny()
    torch.manual_seed(0)
    assert any(text.startswith("success_over_raw_music") for text in verdicts(CovarianceNet(config), bundle))


def test_a_broken_network_is_sick_and_not_a_crash() -> None:
    config, bundle = tiny()
    torch.manual_seed(0)
    model = CovarianceNet(config)
    with torch.no_grad():
        model.last.weight[0, 0, 0] = torch.nan
    found = evaluate(RisLocalization(), model, bundle.validation, constraints=RisLocalization().constraints)
    assert math.isnan(found.metrics["music_position_error_m"])
    assert any(text.startswith("eigenvalue_ratio = nan") for text in verdicts(model, bundle))


def turned(batch: Batch, angle: float) -> dict[str, Tensor]:
    turn = torch.polar(torch.tensor(1.0), torch.tensor(angle))
    return {**batch, "snapshots": batch["snapshots"] * turn}


def gap(covariance: Tensor, other: Tensor) -> Tensor:
    """Relative distance of matrices."""
    return (covariance - other).abs().square().sum(dim=(1, 2)).sqrt() / other.abs().square().sum(dim=(1, 2)).sqrt()


def test_the_covariance_does_not_see_the_phase_or_the_gain_of_the_receiver() -> None:
    torch.manual_seed(0)
    model = CovarianceNet(Config.model_validate({"model": {"width": 32, "depth": 2}})).eval()
    data = DataConfig()
    batch = SceneSource(data, wave=data.steering, seed=0).batch(range(20), progress=0.0)
    with torch.no_grad():
        first = model(batch)
        for other in (turned(batch, 1.234), {**batch, "snapshots": 50.0 * batch["snapshots"]}):
            second = model(other)
            assert float(gap(second @ second.mH, first @ first.mH).max()) < 1e-3


def test_the_phases_that_eigenvectors_come_with_mean_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(5, 16, 3, dtype=torch.complex64, generator=generator)
    turns = torch.polar(torch.ones(5, 1, 3), 6.0 * torch.rand(5, 1, 3, generator=generator))
    first, second = aligned(vectors), aligned(vectors * turns)
    assert torch.allclose(second, first * turns[..., :1], atol=1e-5)
    assert not torch.allclose(first, vectors)


@pytest.mark.parametrize("snapshots", [1, 2, 40])
def test_main_eigenvectors_are_those_of_the_sample_covariance_not_mean_centred(snapshots: int) -> None:
    generator = torch.Generator().manual_seed(0)
    field = torch.randn(3, 12, snapshots, dtype=torch.complex64, generator=generator) + 2.0  # a mean that must stay
    vectors, shares = main_eigenvectors(field, rank=2)
    full = field @ field.mH
    values, axes = torch.linalg.eigh(full)
    kept = min(2, snapshots)
    assert torch.allclose(shares[:, :kept], (values / values.sum(dim=1, keepdim=True)).flip(1)[:, :kept], atol=1e-4)
    assert not bool(vectors[..., kept:].any())
    main = axes[..., -kept:]
    assert torch.allclose(vectors @ vectors.mH, main @ main.mH, atol=1e-3)


def test_the_target_does_not_move_with_the_noise() -> None:
    """D26: a target made of the sample covariance would be circular."""
    data = DataConfig(num_x=4, num_y=4)
    batch = SceneSource(data, wave=data.steering, seed=0).batch(range(20), progress=0.0)
    noisier = {**batch, "snapshots": batch["snapshots"] + torch.randn(batch["snapshots"].shape, dtype=torch.complex64)}
    assert torch.equal(true_columns(data, noisier), true_columns(data, batch))


@pytest.mark.parametrize("degenerate", ["equal eigenvalues", "rank one", "silence but for one snapshot"])
def test_degenerate_covariances_give_finite_gradients(degenerate: str) -> None:
    """D18: no gradient passes through an eigendecomposition, neither of the data's covariance nor of the model's."""
    data = DataConfig(num_x=4, num_y=4)
    config = Config.model_validate({"data": {"num_x": 4, "num_y": 4}, "model": {"width": 16, "depth": 1}})
    batch = dict(SceneSource(data, wave=data.steering, seed=0).batch(range(4), progress=0.0))
    field = torch.zeros_like(batch["snapshots"])
    if degenerate == "equal eigenvalues":
        field[:, :, :] = torch.eye(16, dtype=field.dtype)
    elif degenerate == "rank one":
        field[:, :, :] = torch.ones((), dtype=field.dtype)
    else:
        field[:, 3, 5] = 1e-6
    torch.manual_seed(0)
    model = CovarianceNet(config)
    terms = terms_of(model, {**batch, "snapshots": field})
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert bool(torch.isfinite(parameter.grad).all()), name
