"""Loss terms of near-field localisation, unweighted, in low-rank form: no N x N matrix, no eigenvectors."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.shapes import Complex, Float

_PROJECTION_RIDGE = 1e-5


def covariance_loss(
    factors: Complex[Tensor, "scenes elements rank"],
    *,
    steering: Complex[Tensor, "scenes elements sources"],
    load: float,
) -> Float[Tensor, ""]:
    """Squared error of F F^H against A A^H, both of trace 1 and loaded alike, over the target's squared norm.

    Shape: [scenes, elements, rank], [scenes, elements, sources] (columns of absent sources zero) -> scalar.
    Unit: 1.
    Range: >= 0, 0 at equality; about 1 for the covariance of white noise.
    Invariant to: the scale of F, its rotation F Q, the order of sources.
    Source: normalised mean squared error, written with the Gram matrices of F and A.
    """
    num_elements = factors.shape[1]
    trace, norm = _trace(factors), _square(factors.mH @ factors)
    target_trace, target_norm = _trace(steering), _square(steering.mH @ steering)
    estimate = norm / trace.square()
    target = target_norm / target_trace.square()
    cross = _square(factors.mH @ steering) / (trace * target_trace)
    loaded = target + (2.0 * load + load**2) / num_elements  # the loading cancels in the difference
    return ((estimate - 2.0 * cross + target) / loaded).mean()


def align_loss(
    factors: Complex[Tensor, "scenes elements rank"], *, steering: Complex[Tensor, "scenes elements sources"]
) -> Float[Tensor, ""]:
    """Share of the power of R = F F^H that lies outside the span of the true steering vectors: tr(P R)/tr(R).

    Any R inside the span is perfect to it, of rank one too: it says nothing about decorrelation and is never
    the objective.

    Shape: [scenes, elements, rank], [scenes, elements, sources] -> scalar.
    Unit: 1.
    Range: 0 to 1, 0 inside the span.
    Invariant to: the scale and rotation of F, the order of sources.
    Source: the criterion of signal subspace fitting, Viberg and Ottersten 1991, with A from the true sources.
    """
    return (_trace(_outside(factors, steering)) / _trace(factors)).mean()


def squared_align_loss(
    factors: Complex[Tensor, "scenes elements rank"], *, steering: Complex[Tensor, "scenes elements sources"]
) -> Float[Tensor, ""]:
    """||P R P||_F^2 / ||R||_F^2: quartic in leaked amplitude, so that its gradient vanishes near the goal.

    Shape: [scenes, elements, rank], [scenes, elements, sources] -> scalar.
    Unit: 1.
    Range: 0 to 1, 0 inside the span.
    Invariant to: the scale and rotation of F, the order of sources.
    Source: its gradient in R is 2 (P R P - L R) / ||R||_F^2.
    """
    outside = _outside(factors, steering)
    return (_square(outside.mH @ outside) / _square(factors.mH @ factors)).mean()


def contrast_loss(
    factors: Complex[Tensor, "scenes elements rank"],
    *,
    steering: Complex[Tensor, "scenes elements sources"],
    load: float,
) -> Float[Tensor, ""]:
    """log(a^H R^-1 a) at the true sources, R = F F^H of trace 1 plus ``load`` / N: minus the log of Capon's peak.

    Shape: [scenes, elements, rank], [scenes, elements, sources] (columns of absent sources zero) -> scalar.
    Unit: nat.
    Range: >= -log(1 + load / N); log K where K orthogonal sources share the power.
    Invariant to: the scale and rotation of F, the order of sources.
    Source: Capon 1969; R^-1 by Woodbury's identity and a Cholesky factor of a rank x rank matrix.
    """
    num_elements, rank = factors.shape[1:]
    noise = load / num_elements
    scaled = factors / _trace(factors).sqrt()[:, None, None]
    small = scaled.mH @ scaled + noise * torch.eye(rank, dtype=factors.dtype, device=factors.device)
    matched = scaled.mH @ steering
    explained = (matched.conj() * torch.cholesky_solve(matched, torch.linalg.cholesky(small))).real.sum(dim=1)
    power = torch.view_as_real(steering).square().sum(dim=(1, 3))
    present = power > 0
    inverse = (power - explained).clamp(min=1e-7) / noise  # absent sources: log(1e-7 / noise) times 0
    return (inverse.log() * present).sum() / present.sum().clamp(min=1)


def _outside(factors: Tensor, steering: Tensor) -> Tensor:
    """P F with P = I - A (A^H A + eps I)^-1 A^H; gradients reach F alone."""
    rank = steering.shape[-1]
    gram = steering.mH @ steering + _PROJECTION_RIDGE * torch.eye(rank, dtype=steering.dtype, device=steering.device)
    root = torch.linalg.cholesky(gram)
    return factors - steering @ torch.cholesky_solve(steering.mH @ factors, root)


def _trace(factors: Tensor) -> Tensor:
    return torch.view_as_real(factors).square().sum(dim=(1, 2, 3)).clamp(min=1e-20)


def _square(matrices: Tensor) -> Tensor:
    return torch.view_as_real(matrices).square().sum(dim=(1, 2, 3))
