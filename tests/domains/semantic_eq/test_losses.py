"""Each loss against a hand value, a naive reference, its floor and its edge cases."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distsys.domains.semantic_eq.model.losses import (
    contrastive_chance,
    contrastive_loss,
    excess_loss,
    kl_loss,
    parameter_loss,
    response_loss,
)
from distsys.domains.semantic_eq.model.network import bounded, seed_bounded
from tests.domains.semantic_eq.support import small_model


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_response_loss_by_hand() -> None:
    target = torch.zeros(1, 4)
    assert response_loss(torch.full((1, 4), 1.5), target_db=target) == pytest.approx(0.125)  # 0.5 * (1.5 / 3)^2
    assert response_loss(torch.full((1, 4), -9.0), target_db=target) == pytest.approx(2.5)  # 9 / 3 - 0.5
    assert response_loss(target, target_db=target) == 0.0


def test_parameter_loss_counts_each_kind_a_third() -> None:
    target = torch.zeros(1, 13)
    only_q = target.clone()
    only_q[:, [4, 7, 10]] = 1.0
    assert parameter_loss(only_q, target_u=target) == pytest.approx(1 / 3)
    assert parameter_loss(torch.ones(1, 13), target_u=target) == pytest.approx(1.0)


def naive_contrastive(points: torch.Tensor, label: list[int], temperature: float) -> float:
    """Khosla et al., eq. 2, by its sums."""
    unit = points / points.norm(dim=1, keepdim=True)
    losses = []
    for i, own in enumerate(label):
        positives = [p for p, other in enumerate(label) if p != i and other == own and own >= 0]
        if not positives:
            continue
        bottom = sum(math.exp(float(unit[i] @ unit[a]) / temperature) for a in range(len(label)) if a != i)
        shares = [math.log(math.exp(float(unit[i] @ unit[p]) / temperature) / bottom) for p in positives]
        losses.append(-sum(shares) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("label", [[0, 0, 1, 1, -1, 2], [0, 0, 0, 0, 0, 0], [-1] * 6, [0, 1, 2, 3, 4, 5]])
def test_contrastive_loss_is_the_papers_sum(label: list[int]) -> None:
    points = rand(6, 4) - 0.5
    found = contrastive_loss(points, label=torch.tensor(label), temperature=0.2)
    assert float(found) == pytest.approx(naive_contrastive(points, label, 0.2), abs=1e-9)


@pytest.mark.parametrize("size", [32, 64])
def test_a_collapsed_embedding_costs_its_chance_level(size: int) -> None:
    label = torch.arange(size) % 2
    collapsed = contrastive_loss(torch.ones(size, 8), label=label, temperature=0.1)
    assert float(collapsed) == pytest.approx(contrastive_chance(label), abs=1e-5)
    assert contrastive_chance(label) == pytest.approx(math.log(size - 1))
    apart = torch.nn.functional.one_hot(label).double()
    assert contrastive_loss(apart, label=label, temperature=0.1) < collapsed - 0.5


@pytest.mark.parametrize("size", [1, 2])
def test_a_batch_without_a_positive_pair_costs_nothing_and_has_a_finite_gradient(size: int) -> None:
    points = torch.ones(size, 4, requires_grad=True)
    loss = contrastive_loss(points, label=torch.arange(size), temperature=0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert points.grad is not None
    assert bool(torch.isfinite(points.grad).all())


def test_contrastive_loss_ignores_scale_and_order() -> None:
    points, label = rand(8, 4) - 0.5, torch.tensor([0, 0, 1, 1, 2, 2, -1, -1])
    base = contrastive_loss(points, label=label, temperature=0.3)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    assert float(contrastive_loss(7.0 * points, label=label, temperature=0.3)) == pytest.approx(float(base))
    assert float(contrastive_loss(points[order], label=label[order], temperature=0.3)) == pytest.approx(float(base))


def test_losses_have_correct_gradients() -> None:
    points, label = rand(5, 3), torch.tensor([0, 0, 1, 1, -1])
    points.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: contrastive_loss(x, label=label, temperature=0.5), (points,))
    other = rand(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: kl_loss(m, log_variance=v), (points, other))
    curve = (5 * rand(2, 6)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: response_loss(x, target_db=torch.zeros(2, 6).double()), (curve,))


def test_kl_by_hand() -> None:
    zero = torch.zeros(3, 2)
    assert kl_loss(zero, log_variance=zero) == 0.0
    assert kl_loss(zero + 2.0, log_variance=zero) == pytest.approx(4.0)
    assert kl_loss(zero, log_variance=zero + math.log(4.0)) == pytest.approx(2 * 0.5 * (4 - 1 - math.log(4.0)))


def test_excess_is_zero_inside_and_grows_outside() -> None:
    assert excess_loss(torch.rand(4, 13)) == 0.0
    assert excess_loss(torch.full((1, 13), 3.0)) == pytest.approx(4.0)
    assert excess_loss(torch.full((1, 13), -1.0)) == pytest.approx(1.0)


def test_nan_is_never_hidden() -> None:
    bad = torch.full((2, 13), math.nan)
    assert bool(bounded(bad).isnan().all())
    assert math.isnan(float(excess_loss(bad)))
    assert math.isnan(float(response_loss(bad, target_db=torch.zeros(2, 13))))


@pytest.mark.parametrize(("start", "target"), [(20.0, 0.0), (-20.0, 1.0), (1e6, 0.5), (-1e6, 0.5)])
def test_bounded_heads_are_alive_outside_when_the_way_leads_in(start: float, target: float) -> None:
    activation = torch.full((1, 13), start, requires_grad=True)
    (bounded(activation) - target).square().sum().backward()
    assert activation.grad is not None
    assert bool((activation.grad * math.copysign(1.0, start) > 0).all())


@pytest.mark.parametrize(("start", "target"), [(5.0, 1.5), (-5.0, -0.5)])
def test_bounded_heads_never_push_further_out(start: float, target: float) -> None:
    activation = torch.full((1, 13), start, requires_grad=True)
    (bounded(activation) - target).square().sum().backward()
    assert activation.grad is not None
    assert bool((activation.grad == 0).all())


@pytest.mark.parametrize("heads", [bounded, seed_bounded])
def test_heads_stay_in_bounds_on_extremes_and_reach_their_rails(heads: Callable[[Tensor], Tensor]) -> None:
    wild = torch.cat([3 * torch.randn(200, 13), torch.full((1, 13), 1e6), torch.full((1, 13), -1e6)])
    u = heads(wild)
    assert bool(((u >= 0) & (u <= 1)).all())
    assert float(bounded(wild).min()) == 0.0
    assert float(bounded(wild).max()) == 1.0


def test_the_seeds_tanh_head_is_dead_where_the_clamp_is_alive() -> None:
    activation = torch.full((1, 13), 20.0, requires_grad=True)
    seed_bounded(activation)[:, [0, 2, 5, 8, 11]].sum().backward()
    assert activation.grad is not None
    assert bool((activation.grad == 0).all())


def test_reduced_precision_does_not_round_settings() -> None:
    model = small_model(width=64)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        activation = model.activations(torch.randn(500, 8))
    assert activation.dtype == torch.float32
    assert len(activation.unique()) > 0.99 * activation.numel()
