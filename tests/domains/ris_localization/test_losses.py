"""Losses against full N x N matrices, their closed-form gradients, and the failures that they must not repeat."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distsys.domains.ris_localization.data.geometry import from_physical
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.losses import align_loss, contrast_loss, covariance_loss, squared_align_loss
from tests.domains.ris_localization.support import EIGHT, columns, complex_normal, places

LOAD = 0.01
Loss = Callable[..., Tensor]


def projector(steering: Tensor) -> Tensor:
    """I - A (A^H A)^-1 A^H, [scenes, N, N]."""
    eye = torch.eye(steering.shape[1], dtype=steering.dtype)
    return eye - steering @ torch.linalg.solve(steering.mH @ steering, steering.mH)


def loaded(factors: Tensor) -> Tensor:
    full = factors @ factors.mH
    trace = full.diagonal(dim1=1, dim2=2).real.sum(dim=1)[:, None, None]
    return full / trace + LOAD / full.shape[1] * torch.eye(full.shape[1], dtype=full.dtype)


def test_covariance_loss_is_the_error_of_the_full_matrices() -> None:
    _, steering = columns(5, 2)
    factors = complex_normal(5, 64, 3)
    estimate, target = loaded(factors), loaded(steering)
    naive = (estimate - target).abs().square().sum(dim=(1, 2)) / target.abs().square().sum(dim=(1, 2))
    assert float(covariance_loss(factors, steering=steering, load=LOAD)) == pytest.approx(
        float(naive.mean()), rel=1e-10
    )
    assert float(covariance_loss(steering, steering=steering, load=LOAD)) == pytest.approx(0.0, abs=1e-12)


def test_loading_of_one_side_only_would_move_the_optimum() -> None:
    _, steering = columns(5, 2)
    target = steering @ steering.mH / 2
    one_sided = loaded(steering) - target
    assert float(one_sided.abs().square().sum()) > 1e-6
    assert float(covariance_loss(steering, steering=steering, load=0.5)) == pytest.approx(0.0, abs=1e-12)


def test_align_losses_are_those_of_the_full_matrices() -> None:
    _, steering = columns(5, 2)
    factors = complex_normal(5, 64, 2)
    full, outside = factors @ factors.mH, projector(steering)
    trace = (outside @ full).diagonal(dim1=1, dim2=2).real.sum(dim=1) / full.diagonal(dim1=1, dim2=2).real.sum(dim=1)
    leaked = (outside @ full @ outside).abs().square().sum(dim=(1, 2)) / full.abs().square().sum(dim=(1, 2))
    assert float(align_loss(factors, steering=steering)) == pytest.approx(float(trace.mean()), rel=1e-4)
    assert float(squared_align_loss(factors, steering=steering)) == pytest.approx(float(leaked.mean()), rel=1e-4)


def test_the_squared_form_has_its_closed_form_gradient() -> None:
    """dL/dR = 2 (P R P - L R) / ||R||^2 for a Hermitian R, whatever it is factored into."""
    _, steering = columns(1, 2)
    outside = projector(steering)[0]
    full = complex_normal(64, 64)
    full = (full @ full.mH).requires_grad_()
    loss = (outside @ full @ outside).abs().square().sum() / full.abs().square().sum()
    (gradient,) = torch.autograd.grad(loss, full)
    with torch.no_grad():
        closed = 2.0 * (outside @ full @ outside - loss * full) / full.abs().square().sum()
    assert float((gradient - closed).abs().max()) < 1e-12


def test_the_low_rank_form_has_the_closed_form_gradient() -> None:
    _, steering = columns(1, 2)
    factors = complex_normal(1, 64, 2).requires_grad_()
    loss = squared_align_loss(factors, steering=steering)
    (gradient,) = torch.autograd.grad(loss, factors)
    with torch.no_grad():
        gram = steering.mH @ steering + 1e-5 * torch.eye(2)
        outside = torch.eye(64) - steering @ torch.linalg.solve(gram, steering.mH)
        full = factors @ factors.mH
        # P with its ridge is Hermitian but no exact projector, so that P R P F meets P once more.
        inner = outside @ outside @ full @ outside @ outside
        closed = 2.0 * 2.0 * (inner - loss * full) @ factors / full.abs().square().sum()
    assert float((gradient - closed).abs().max()) < 1e-12


@pytest.mark.parametrize("loss", [covariance_loss, align_loss, squared_align_loss, contrast_loss])
def test_losses_do_not_see_scale_rotation_or_order(loss: Loss) -> None:
    _, steering = columns(4, 2)
    factors = complex_normal(4, 64, 2)
    extra = {"load": LOAD} if loss in (covariance_loss, contrast_loss) else {}
    value = loss(factors, steering=steering, **extra)
    turn = torch.linalg.qr(complex_normal(4, 2, 2, seed=1)).Q
    for same in (3.7 * factors, factors * 1j, factors @ turn):
        assert torch.allclose(loss(same, steering=steering, **extra), value, rtol=1e-9)
    assert torch.allclose(loss(factors, steering=steering.flip(2), **extra), value, rtol=1e-9)


@pytest.mark.parametrize("loss", [covariance_loss, align_loss, squared_align_loss, contrast_loss])
def test_gradients_are_right_and_reach_the_factors_alone(loss: Loss) -> None:
    _, steering = columns(2, 2)
    steering.requires_grad_()
    extra = {"load": LOAD} if loss in (covariance_loss, contrast_loss) else {}
    factors = complex_normal(2, 64, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda item: loss(item, steering=steering.detach(), **extra), (factors,))


def test_absent_sources_change_nothing() -> None:
    _, steering = columns(4, 1)
    factors = complex_normal(4, 64, 1)
    padded = torch.nn.functional.pad(steering, (0, 2))
    cases: list[tuple[Loss, dict[str, float]]] = [
        (covariance_loss, {"load": LOAD}),
        (align_loss, {}),
        (contrast_loss, {"load": LOAD}),
    ]
    for loss, extra in cases:
        short, long = (loss(factors, steering=item, **extra) for item in (steering, padded))
        assert torch.allclose(short, long, rtol=1e-9)


def test_alignment_alone_is_content_with_a_collapsed_rank() -> None:
    """The coherent sample covariance, of rank one inside the span, is perfect to it, and far from the truth."""
    _, steering = columns(50, 2)
    mixed = steering @ complex_normal(50, 2, 1)
    assert float(align_loss(mixed, steering=steering)) < 1e-4
    assert float(squared_align_loss(mixed, steering=steering)) < 1e-8
    assert float(covariance_loss(mixed, steering=steering, load=LOAD)) > 0.5


def test_the_squared_form_loses_its_gradient_near_the_goal() -> None:
    _, steering = columns(8, 2)
    noise = complex_normal(8, 64, 2)
    norms = {}
    for loss in (align_loss, squared_align_loss):
        for leak in (1e-1, 1e-3):
            factors = (steering + leak * noise / 8.0).requires_grad_()
            (gradient,) = torch.autograd.grad(loss(factors, steering=steering), factors)
            norms[loss, leak] = float(gradient.norm())
    kept = {loss: norms[loss, 1e-3] / norms[loss, 1e-1] for loss in (align_loss, squared_align_loss)}
    assert kept[squared_align_loss] < 0.1 * kept[align_loss]


def test_contrast_is_minus_the_log_of_capons_spectrum() -> None:
    _, steering = columns(5, 2)
    factors = complex_normal(5, 64, 2)
    inverse = torch.linalg.inv(loaded(factors))
    naive = torch.einsum("bnk,bnm,bmk->bk", steering.conj(), inverse, steering).real.log().mean()
    assert float(contrast_loss(factors, steering=steering, load=LOAD)) == pytest.approx(float(naive), rel=1e-9)
    orthogonal = torch.eye(64, dtype=torch.complex128)[None, :, :2]
    floor = contrast_loss(orthogonal, steering=orthogonal, load=1e-3)
    assert float(floor) == pytest.approx(math.log(2.0), abs=1e-3)


def test_the_truth_is_the_least_contrast_in_99_of_100_scenes() -> None:
    """Every other place, near or far, has a larger log(a^H R^-1 a) on the true covariance."""
    uvq, truth = columns(200, 2)
    at_truth = torch.stack([contrast_loss(truth[i : i + 1], steering=truth[i : i + 1], load=LOAD) for i in range(200)])
    near = EIGHT.clamp(uvq + 0.05 * complex_normal(200, 2, 3).real)
    far = from_physical(places(200, 2, seed=9))
    beaten = torch.zeros(200, dtype=torch.bool)
    for other in (near, far):
        moved = Steering.of(EIGHT).vectors(other).mT
        found = [contrast_loss(truth[i : i + 1], steering=moved[i : i + 1], load=LOAD) for i in range(200)]
        beaten |= torch.stack(found) <= at_truth
    assert float(beaten.double().mean()) <= 0.01


def test_nan_is_never_hidden() -> None:
    _, steering = columns(2, 2)
    factors = complex_normal(2, 64, 2)
    factors[0, 0, 0] = math.nan
    assert math.isnan(float(covariance_loss(factors, steering=steering, load=LOAD)))
    assert math.isnan(float(align_loss(factors, steering=steering)))
