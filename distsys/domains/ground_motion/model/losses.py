"""Losses of the ground-motion members, item by item; :mod:`terms` says which route has which."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.envelopes import shapes_of
from distsys.domains.ground_motion.data.levels import levels_of
from distsys.domains.ground_motion.data.operators import NUM_BANDS, NUM_FRAMES, envelope, lowpass
from distsys.shapes import Float
from distsys.signals.ensembles import correlation, crps

_ALMOST_FAIR = 0.95
_COARSE = 8
"""Frames whose mean is scored too: 2.6 s."""


def log_likelihood(
    target: Float[Tensor, "batch bands frames"],
    *,
    mean: Float[Tensor, "batch bands frames"],
    spread: Float[Tensor, "batch bands frames"],
    memory: Float[Tensor, " bands"],
    correlation_factor: Float[Tensor, "bands bands"],
) -> Float[Tensor, " batch"]:
    """Mean over bands and frames of the log density of ``target``; a loss is its negative.

    Shape: [batch, bands, frames] three times, [bands], [bands, bands] to [batch].
    Unit: nat.
    Range: any; at most -ln(0.05 sqrt(2 pi)) per value where spreads are at their floor and bands unrelated.
    Invariant to: a shift of target and mean together.
    Source: the normal distribution of an AR(1) process in each band, whose innovations are correlated between bands.
    """
    residual = (target - mean) / spread
    fresh = (residual[..., 1:] - memory[:, None] * residual[..., :-1]) / (1.0 - memory.square()).sqrt()[:, None]
    news = torch.cat((residual[..., :1], fresh), dim=-1)
    white = torch.linalg.solve_triangular(correlation_factor, news, upper=False)
    volume = spread.log().sum(dim=(-1, -2)) + 0.5 * (NUM_FRAMES - 1) * torch.log1p(-memory.square()).sum()
    volume = volume + NUM_FRAMES * correlation_factor.diagonal().abs().clamp(min=1e-6).log().sum()
    count = NUM_BANDS * NUM_FRAMES
    return -(volume + 0.5 * white.square().sum(dim=(-1, -2))) / count - 0.5 * math.log(2.0 * math.pi)


def ensemble_score(
    drawn: Float[Tensor, "batch draws bands frames"], motion: Float[Tensor, "batch time"]
) -> Float[Tensor, " batch"]:
    """Almost fair CRPS of log envelopes: of bands by frame, of bands by eight frames, and of the sum of bands.

    A score by frame says nothing of how frames and bands rise and fall together; one of their means and sums does.

    Shape: [batch, draws, bands, frames] and [batch, time] to [batch].
    Unit: ln, three scores added up.
    Range: about 0 and up; a fair score can fall below 0 by chance.
    Invariant to: scale of the motion; the order of draws.
    Source: Lang et al. 2024, arXiv 2412.15832, eq. 4, as in CRPS-LAM, arXiv 2510.09484.
    """
    level, true = levels_of(motion), shapes_of(motion)

    def score(view: Callable[[Tensor], Tensor]) -> Tensor:
        values = crps(view(drawn).movedim(1, -1), view(true[:, None])[:, 0], alpha=_ALMOST_FAIR)
        return values.flatten(1).mean(dim=1)

    def total(shape: Tensor) -> Tensor:
        return 0.5 * torch.logsumexp(2.0 * (level[:, None, :, None] + shape), dim=-2)

    return score(lambda shape: shape) + score(_coarse) + score(total)


def _coarse(shape: Float[Tensor, "batch draws bands frames"]) -> Tensor:
    """Means of eight neighbouring frames."""
    return shape.unflatten(-1, (-1, _COARSE)).mean(dim=-1)


def denoising_loss(
    denoised: Float[Tensor, "batch channels time"],
    *,
    clean: Float[Tensor, "batch channels time"],
    weight: Float[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Weighted squared error of each item at one noise level.

    Shape: [batch, channels, time] twice and [batch] to [batch].
    Unit: 1; about 1 for a network that says nothing.
    Range: 0 and up.
    Invariant to: scale of the data together with sigma_data.
    Source: Karras et al. 2022, eq. 8, with the weight of :func:`preconditioning.loss_weight`.
    """
    return weight * (denoised - clean).square().mean(dim=(-1, -2))


def course_loss(shape: Float[Tensor, "batch bands frames"], motion: Float[Tensor, "batch time"]) -> Tensor:
    """One minus the correlation of an expected envelope above 1 Hz with the true one.

    Shape: [batch, bands, frames] log envelopes and [batch, time] to [batch].
    Unit: 1.
    Range: 0 (the same course) to 2.
    Invariant to: scale of either envelope.
    Source: the envelope term of the original, which ran outside of autograd and had no gradient.
    """
    level = levels_of(motion)[..., None]
    expected = (2.0 * (level + shape)).exp().sum(dim=-2).sqrt()
    true = (2.0 * (level + shapes_of(motion))).exp().sum(dim=-2).sqrt()
    return 1.0 - correlation(expected, true)


def flat_course_loss(
    denoised: Float[Tensor, "batch 1 time"], *, clean: Float[Tensor, "batch 1 time"]
) -> Float[Tensor, " batch"]:
    """One minus the correlation of the envelopes of flattened motions.

    Shape: [batch, 1, time] twice to [batch].
    Unit: 1.
    Range: 0 (the same course) to 2.
    Invariant to: scale of either motion.
    Source: :func:`course_loss`, for what is left when bands are divided by expected envelopes.
    """
    return 1.0 - correlation(envelope(denoised[:, 0]), envelope(clean[:, 0]))


def stray_loss(
    denoised: Float[Tensor, "batch 1 time"], *, given: Float[Tensor, "batch 1 time"]
) -> Float[Tensor, " batch"]:
    """Squared error below 1 Hz over what is given there.

    Shape: [batch, 1, time] twice to [batch].
    Unit: 1.
    Range: 0 and up.
    Invariant to: scale of both together.
    Source: the low-frequency term of the original.
    """
    strayed = (lowpass(denoised) - given).square().mean(dim=(-1, -2))
    return strayed / given.square().mean(dim=(-1, -2)).clamp(min=1e-30)
