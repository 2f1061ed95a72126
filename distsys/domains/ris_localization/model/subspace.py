"""Main eigenvectors: of few snapshots, and of a covariance that is given by its factors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from distsys.domains.ris_localization.data.sensing import Sensing
from distsys.shapes import Complex, Float

_WEAKEST_SHARE = 1e-6
"""Eigenvectors with less of the trace than this are rounding errors."""


def main_eigenvectors(
    field: Complex[Tensor, "scenes elements snapshots"], *, rank: int
) -> tuple[Complex[Tensor, "scenes elements rank"], Float[Tensor, "scenes rank"]]:
    """Main eigenvectors of the sample covariance, not mean-centred, and their shares of its trace.

    By the smaller of Y Y^H and Y^H Y, in complex128: with few snapshots most eigenvalues are 0, and LAPACK's
    float32 solver then fails once in a while. Where snapshots are fewer than ``rank`` missing vectors are zero.
    """
    wide = field.to(torch.complex128)
    if field.shape[1] < field.shape[2]:
        values, vectors = _largest(wide @ wide.mH, rank)
    else:
        values, small = _largest(wide.mH @ wide, rank)
        vectors = wide @ small / values.clamp(min=1e-30).sqrt()[:, None]
    shares = values / torch.view_as_real(wide).square().sum(dim=(1, 2, 3)).clamp(min=1e-30)[:, None]
    vectors = vectors * (shares > _WEAKEST_SHARE)[:, None]
    missing = rank - values.shape[1]
    return functional.pad(vectors, (0, missing)).to(field.dtype), functional.pad(shares, (0, missing)).float()


def _largest(matrices: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest eigenvalues, or all, and their eigenvectors as columns, largest first."""
    values, vectors = torch.linalg.eigh(matrices)
    kept = min(count, values.shape[1])
    return values[:, -kept:].flip(1).clamp(min=0.0), vectors[..., -kept:].flip(2)


def aligned(vectors: Complex[Tensor, "scenes elements rank"]) -> Complex[Tensor, "scenes elements rank"]:
    """The vectors after the first turned so that their sums have the phase of its sum: their own mean nothing."""
    sums = vectors.sum(dim=1, keepdim=True)
    turn = sums.conj() * sums[..., :1]
    size = turn.abs()
    return torch.where(size > 0, vectors * turn / size.clamp(min=1e-30), vectors)


def raw_factors(
    snapshots: Complex[Tensor, "scenes channels snapshots"], sensing: Sensing, *, rank: int
) -> Complex[Tensor, "scenes elements rank"]:
    """Factors of the sample covariance's main part."""
    vectors, values = main_eigenvectors(sensing.back_projected(snapshots), rank=rank)
    return vectors * values.sqrt()[:, None]


def signal_subspace(
    factors: Complex[Tensor, "scenes elements columns"], *, num_sources: int
) -> Complex[Tensor, "scenes elements sources"]:
    """The main ``num_sources`` eigenvectors of F F^H, orthonormal, by the small matrix F^H F, in complex128."""
    wide = factors.to(torch.complex128)
    values, vectors = torch.linalg.eigh(wide.mH @ wide)
    kept, weights = vectors[..., -num_sources:], values[..., -num_sources:]
    return torch.linalg.qr(wide @ kept / weights.clamp(min=1e-30).sqrt()[..., None, :]).Q
