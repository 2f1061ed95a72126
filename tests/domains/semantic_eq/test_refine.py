"""Refined codes: never worse, alone with their item, the same each time, and what Gauss-Newton should find found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distsys.domains.semantic_eq.config import Config
from distsys.domains.semantic_eq.data.bundle import build_data
from distsys.domains.semantic_eq.data.response import frequency_grid_hz, response_db
from distsys.domains.semantic_eq.data.settings import SAFE
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.refine import STRIDE, refined
from tests.domains.semantic_eq.support import small_model


def model_of(**given: object) -> SettingAutoencoder:
    return small_model(**{"refine_steps": 20, **given})


def errors(model: SettingAutoencoder, latent: Tensor, curve_db: Tensor) -> Tensor:
    return (response_db(model.decode(latent), SAFE) - curve_db).abs().mean(dim=1)


@pytest.fixture(scope="module")
def curves() -> tuple[Tensor, Tensor]:
    batch = build_data(Config(), seed=0).test.batches[0]
    return batch["u"][:40], batch["curve_db"][:40]


@pytest.mark.parametrize("given", [{}, {"heads": "seed"}, {"variant": "vae"}])
def test_no_code_gets_worse_and_most_get_better(curves: tuple[Tensor, Tensor], given: dict[str, str]) -> None:
    u, curve_db = curves
    model = model_of(**given)
    with torch.no_grad():
        first = model.encode(u, curve_db=curve_db).mean
        before = errors(model, first, curve_db)
        after = errors(model, model.refined(first, curve_db=curve_db), curve_db)
    assert bool((after <= before + 0.02).all()), "a fifth of the points stands for all"
    assert float((after < before).float().mean()) > 0.9
    assert float(after.mean()) < 0.9 * float(before.mean())


def test_without_steps_it_is_the_encoders_own(curves: tuple[Tensor, Tensor]) -> None:
    latent = torch.randn(40, 8)
    assert model_of(refine_steps=0).refined(latent, curve_db=curves[1]) is latent


def test_it_is_the_same_each_time_and_alone_with_its_item(curves: tuple[Tensor, Tensor]) -> None:
    u, curve_db = curves
    model = model_of()
    with torch.no_grad():
        first = model.encode(u, curve_db=curve_db).mean
        found = model.refined(first, curve_db=curve_db)
        assert torch.equal(found, model.refined(first, curve_db=curve_db))
        alone = model.refined(first[3:5], curve_db=curve_db[3:5])
    torch.testing.assert_close(
        errors(model, alone, curve_db[3:5]), errors(model, found, curve_db)[3:5], atol=0.05, rtol=0
    )


def test_a_linear_response_is_solved_and_nan_does_no_harm() -> None:
    """Where the response is linear in the code, the least sum of magnitudes of an exact target is zero."""
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(3, 20, generator=generator)
    truth = torch.randn(6, 3, generator=generator)
    target = truth @ matrix
    found = refined(lambda code: code @ matrix, torch.zeros(6, 3), target, steps=30)
    torch.testing.assert_close(found, truth, atol=1e-3, rtol=0)
    target[2, 0] = float("nan")
    found = refined(lambda code: code @ matrix, torch.zeros(6, 3), target, steps=30)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[[0, 1, 3, 4, 5]], truth[[0, 1, 3, 4, 5]], atol=1e-3, rtol=0)


def test_every_fifth_point_of_the_grid_is_a_grid_of_its_own() -> None:
    grid = frequency_grid_hz()
    some = grid[::STRIDE]
    torch.testing.assert_close(frequency_grid_hz(len(some)), some, rtol=1e-9, atol=0.0)


def test_refining_leaves_parameters_without_gradients(curves: tuple[Tensor, Tensor]) -> None:
    model = model_of()
    found = model.refined(torch.zeros(40, 8), curve_db=curves[1])
    assert not found.requires_grad
    assert all(item.grad is None for item in model.parameters())
