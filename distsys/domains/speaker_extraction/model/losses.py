"""The four terms, each counted over all queries of a batch: what does not concern a query adds 0 for it.

Weighting by items and not by branches keeps one absent target in a small batch from taking half of the loss.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.shapes import Bool, Complex, Float
from distsys.signals.levels import energy_db

_SMALLEST_RATIO = 0.05
_SI_SDR_LIMIT = 1e-6
"""SI-SDR stays within +-60 dB: there its gradient ends instead of growing without bound."""
_TINY = 1e-16
DB_PER_NEPER = 20.0 / math.log(10.0)


def si_sdr_db(
    estimate: Float[Tensor, "*batch time"], *, target: Float[Tensor, "*batch time"]
) -> Float[Tensor, "*batch"]:
    """Scale-invariant signal-to-distortion ratio of each item (Le Roux et al., ICASSP 2019).

    Shape: [..., time] twice to [...].
    Unit: dB.
    Range: -60 to 60; -60 for a silent estimate. A silent target is meaningless: mask it out.
    Invariant to: scale and offset of either signal.
    Source: Le Roux et al. 2019, eq. 5.
    """
    estimate = estimate - estimate.mean(dim=-1, keepdim=True)
    target = target - target.mean(dim=-1, keepdim=True)
    energy = target.square().sum(dim=-1).clamp(min=_TINY)
    whole = estimate.square().sum(dim=-1)
    wanted = (estimate * target).sum(dim=-1).square() / energy
    rest = (estimate - (estimate * target).sum(dim=-1, keepdim=True) / energy[..., None] * target).square().sum(dim=-1)
    limit = _SI_SDR_LIMIT * whole
    return 10.0 * torch.log10((wanted + limit + _TINY * _SI_SDR_LIMIT) / (rest + limit + _TINY))


def si_sdr_loss(estimate: Tensor, *, target: Tensor, present: Bool[Tensor, "batch queries"]) -> Float[Tensor, ""]:
    """Negative SI-SDR of present targets.

    Shape: [batch, queries, time] twice to a scalar.
    Unit: dB.
    Range: -60 (perfect) to 60.
    Invariant to: scale of the estimate, so that it puts no force on the amplitude.
    Source: Le Roux et al. 2019.
    """
    return _over_all(-si_sdr_db(estimate, target=target), present)


def ta_energy_loss(
    estimate: Tensor,
    *,
    reference_db: Float[Tensor, "batch queries"],
    target_db: float,
    present: Bool[Tensor, "batch queries"],
) -> Float[Tensor, ""]:
    """How far estimates of absent targets lie above ``reference_db + target_db``.

    Shape: [batch, queries, time] to a scalar.
    Unit: dB.
    Range: 0 (quiet enough) and up; it rewards no silence beyond the target.
    Invariant to: nothing.
    Source: the unbounded form, 10 log10 energy, is defect D11.
    """
    excess = torch.relu(energy_db(estimate) - reference_db - target_db)
    return _over_all(excess, ~present)


def amplitude_loss(estimate: Tensor, *, target: Tensor, present: Bool[Tensor, "batch queries"]) -> Float[Tensor, ""]:
    """Squared logarithm of the RMS ratio of present targets.

    Shape: [batch, queries, time] twice to a scalar.
    Unit: neper squared.
    Range: 0 (equal RMS) and up, symmetric in halving and doubling; flat below a ratio of 0.05.
    Invariant to: the waveform at equal RMS.
    Source: cure of defect D13.
    """
    ratio = rms_ratio(estimate, target=target).clamp(min=_SMALLEST_RATIO)
    return _over_all(ratio.log().square(), present)


def spectral_loss(
    estimate: Complex[Tensor, "batch queries bins frames"],
    *,
    target: Complex[Tensor, "batch queries bins frames"],
    present: Bool[Tensor, "batch queries"],
) -> Float[Tensor, ""]:
    """Absolute error of complex spectra, relative to the target's mean magnitude.

    Shape: [batch, queries, bins, frames] twice to a scalar.
    Unit: 1.
    Range: 0 (equal) and up; 1 for silence.
    Invariant to: one common scale of both.
    Source: a weak anchor of phase and amplitude.
    """
    error = (estimate - target).abs().mean(dim=(-1, -2))
    return _over_all(error / target.abs().mean(dim=(-1, -2)).clamp(min=_TINY), present)


def equilibrium_rms_ratio(*, w_ta: float, lambda_amp: float, ta_share: float = 0.5) -> float:
    """RMS ratio at which the two forces on one gain, shared by all queries, cancel.

    ``ta_energy`` pulls with ``w_ta * 8.686`` dB a neper for each absent target, ``amp`` with
    ``2 * lambda_amp * log(ratio)`` for each present one; with equally many of both this is
    exp(-w_ta * 8.686 / (2 * lambda_amp)). A model that tells the two apart does better.

    Args:
        ta_share: absent targets among all queries.
    """
    return math.exp(-w_ta * DB_PER_NEPER * ta_share / (2.0 * lambda_amp * (1.0 - ta_share)))


def rms_ratio(
    estimate: Float[Tensor, "*batch time"], *, target: Float[Tensor, "*batch time"]
) -> Float[Tensor, "*batch"]:
    """RMS of the estimate over that of the target; 1 is right."""
    return (estimate.square().mean(dim=-1) + _TINY).sqrt() / target.square().mean(dim=-1).sqrt().clamp(min=1e-8)


def _over_all(values: Tensor, concerned: Tensor) -> Tensor:
    """Mean over all queries, those that are not concerned counting as 0; their gradient is 0 too, not NaN."""
    return torch.where(concerned, values, torch.zeros_like(values)).mean()
