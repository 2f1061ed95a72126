"""How good an ensemble is beside what happened: continuous ranked probability scores, coverage, correlation."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.shapes import Bool, Float, Int

LOW, HIGH = 0.05, 0.95
"""Of the band whose coverage is judged."""


def crps(
    samples: Float[Tensor, "*batch count"], truth: Float[Tensor, "*batch"], *, alpha: float = 1.0
) -> Float[Tensor, "*batch"]:
    """Continuous ranked probability score, fair: the same on average for any number of samples.

    Args:
        alpha: 1 is fair, 0 is not at all; to train with, a little under 1: where samples may be anything as long as
            one of two is right, a fair score does not object.

    Shape: [..., samples] and [...] to [...].
    Unit: that of the values.
    Range: 0 for samples all equal to the truth; a fair score can fall below 0 by chance.
    Source: Ferro 2014, Q. J. R. Meteorol. Soc. 140, eq. 9; the absolute error for a single sample. With ``alpha``
        almost fair: Lang et al. 2024, arXiv 2412.15832, eq. 4.
    """
    count = samples.shape[-1]
    error = (samples - truth[..., None]).abs().mean(dim=-1)
    if count == 1:
        return error
    ordered = samples.sort(dim=-1).values
    rank = 2.0 * torch.arange(1, count + 1, device=samples.device) - count - 1.0
    spread = (ordered * rank).sum(dim=-1) / (count * (count - 1))
    return error - (1.0 - (1.0 - alpha) / count) * spread


def energy_score(
    samples: Float[Tensor, "*batch count values"], truth: Float[Tensor, "*batch values"]
) -> Float[Tensor, "*batch"]:
    """The score of several values at once, fair: it sees whether they rise and fall together as well.

    Shape: [..., samples, values] and [..., values] to [...].
    Unit: that of the values.
    Range: 0 for samples all equal to the truth; a fair score can fall below 0 by chance.
    Source: Gneiting and Raftery 2007, J. Am. Stat. Assoc. 102, eq. 21; of one value it is :func:`crps`.
    """
    count = samples.shape[-2]
    error = (samples - truth[..., None, :]).norm(dim=-1).mean(dim=-1)
    if count == 1:
        return error
    apart = torch.cdist(samples, samples, compute_mode="donot_use_mm_for_euclid_dist")
    return error - apart.sum(dim=(-1, -2)) / (2.0 * count * (count - 1))


def covered(samples: Float[Tensor, "*batch count"], truth: Float[Tensor, "*batch"]) -> Bool[Tensor, "*batch"]:
    """Whether the truth lies between the 5 and 95 % quantiles, by positions p (n + 1) (Weibull's plotting positions).

    Linear interpolation between order statistics would cover 0.81 with 20 samples of a perfect ensemble.
    """
    ordered = samples.sort(dim=-1).values
    return (truth >= _quantile(ordered, LOW)) & (truth <= _quantile(ordered, HIGH))


def correlation(one: Float[Tensor, "*batch time"], other: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch"]:
    """Pearson's, over time; 0 where either is constant."""
    one, other = (item - item.mean(dim=-1, keepdim=True) for item in (one, other))
    return (one * other).sum(dim=-1) / (one.norm(dim=-1) * other.norm(dim=-1)).clamp(min=1e-30)


def standard_error(values: Float[Tensor, " items"], groups: Int[Tensor, " items"] | None = None) -> float:
    """Of the mean of ``values``; where items come in ``groups`` (records of one event), of what groups differ by.

    Source: the cluster-robust variance of a mean, Liang and Zeger 1986, with the correction for few groups.
    """
    left = values.double() - values.double().mean()
    if groups is not None:
        numbers, index = groups.unique(return_inverse=True)
        left = torch.zeros(len(numbers), dtype=left.dtype, device=left.device).index_add_(0, index, left)
    count = len(left)
    if count < 2:
        return 0.0
    return float((left.square().sum() * count / (count - 1)).sqrt() / len(values))


def _quantile(ordered: Tensor, share: float) -> Tensor:
    count = ordered.shape[-1]
    place = min(max(share * (count + 1) - 1.0, 0.0), count - 1.0)
    below = int(place)
    above = min(below + 1, count - 1)
    return torch.lerp(ordered[..., below], ordered[..., above], place - below)
