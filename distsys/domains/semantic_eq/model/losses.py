"""Loss terms of the semantic equaliser, unweighted."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from distsys.domains.semantic_eq.data.settings import columns
from distsys.shapes import Float, Int

_RESPONSE_SCALE_DB = 3.0
_SMALLEST_SQUARE = 1e-6


def response_loss(
    estimate_db: Float[Tensor, "items points"], *, target_db: Float[Tensor, "items points"]
) -> Float[Tensor, ""]:
    """Smooth-L1 distance of magnitude responses, in units of 3 dB.

    Shape: [items, points] twice -> scalar.
    Unit: 1 (dB / 3 dB, squared below 3 dB).
    Range: >= 0, 0 at equality; no upper bound.
    Invariant to: the order of bands; not to scale or shift.
    Source: Nercessian, Neural parametric equalizer matching, DAFx 2020.
    """
    return functional.smooth_l1_loss(estimate_db / _RESPONSE_SCALE_DB, target_db / _RESPONSE_SCALE_DB)


def parameter_loss(estimate_u: Float[Tensor, "items 13"], *, target_u: Float[Tensor, "items 13"]) -> Float[Tensor, ""]:
    """Mean squared error in u of gains, frequencies and Qs, each kind counting a third.

    Shape: [items, 13] twice -> scalar.
    Unit: 1 (u squared).
    Range: 0 to 1, 0 at equality.
    Invariant to: nothing.
    Source: per-type error on log-scaled parameters, Steinmetz et al., arXiv 2011.00088 (section 3).
    """
    squared = (estimate_u - target_u).square()
    return torch.stack([squared[:, columns(kind)].mean() for kind in ("gain", "freq", "q")]).mean()


def contrastive_loss(
    projection: Float[Tensor, "items dims"], *, label: Int[Tensor, " items"], temperature: float
) -> Float[Tensor, ""]:
    """Supervised InfoNCE over unit embeddings; label -1 is neither anchor nor positive, but repels.

    Shape: [items, dims], [items] -> scalar.
    Unit: nat.
    Range: > 0; :func:`contrastive_chance` when all embeddings coincide. 0 when no anchor has a positive.
    Invariant to: rotation of the embeddings and order of the items.
    Source: Khosla et al., Supervised contrastive learning, arXiv 2004.11362, eq. 2 (without the self pair).
    """
    similarity = functional.normalize(projection, dim=1, eps=1e-6)
    similarity = similarity @ similarity.T / temperature
    others = ~torch.eye(len(label), dtype=torch.bool, device=label.device)
    positive = (label[:, None] == label[None, :]) & others & (label >= 0)[:, None]
    log_share = similarity - similarity.masked_fill(~others, -math.inf).logsumexp(dim=1, keepdim=True)
    counts = positive.sum(dim=1)
    has_positive = counts > 0
    per_anchor = -log_share.where(positive, log_share.new_zeros(())).sum(dim=1) / counts.clamp(min=1)
    return (per_anchor * has_positive).sum() / has_positive.sum().clamp(min=1)


def isometry_loss(
    latent: Float[Tensor, "items latent"], *, curve_db: Float[Tensor, "items points"]
) -> Float[Tensor, ""]:
    """How far distances in the latent are from distances of responses, over all pairs of a batch.

    Distances of responses are root mean squares over their points, in units of 3 dB.

    Shape: [items, latent], [items, points] -> scalar.
    Unit: 1, the squared stress-1.
    Range: >= 0, 0 where the latent is an isometric map; 1 where it has collapsed to a point.
    Invariant to: rotation, reflection and shift of the latent, and order of the items.
    Source: Kruskal, Multidimensional scaling by optimizing goodness of fit, Psychometrika 29, 1964.
    """
    wanted = torch.cdist(curve_db, curve_db) / (_RESPONSE_SCALE_DB * math.sqrt(curve_db.shape[1]))
    square = (latent[:, None] - latent[None]).square().sum(dim=-1)
    found = (square + _SMALLEST_SQUARE).sqrt()  # its slope at 0, where every item is beside itself, is finite
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=_SMALLEST_SQUARE)


def contrastive_chance(label: Int[Tensor, " items"]) -> float:
    """The contrastive loss of a fully collapsed embedding, ln(items - 1), in nat; 0 without any positive pair."""
    counted = label[label >= 0]
    has_pair = len(counted) > len(counted.unique())
    return math.log(len(label) - 1) if has_pair else 0.0


def excess_loss(activation: Float[Tensor, "items 13"]) -> Float[Tensor, ""]:
    """How far activations lie outside [0, 1] before they are clamped, squared.

    Shape: [items, 13] -> scalar.
    Unit: 1 (u squared).
    Range: >= 0, 0 inside; no upper bound.
    Invariant to: any change within [0, 1].
    Source: keeps a straight-through clamp (Bengio et al., arXiv 1308.3432) from drifting.
    """
    return (activation - activation.clamp(0.0, 1.0)).square().mean()


def kl_loss(mean: Float[Tensor, "items latent"], *, log_variance: Float[Tensor, "items latent"]) -> Float[Tensor, ""]:
    """Divergence of the latent's Gaussian from the standard one, mean over items.

    Shape: [items, latent] twice -> scalar.
    Unit: nat.
    Range: >= 0, 0 at mean 0 and variance 1.
    Invariant to: the sign of the mean and the order of latent axes.
    Source: Kingma and Welling, arXiv 1312.6114, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1).mean()
