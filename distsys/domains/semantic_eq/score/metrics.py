"""What a reconstruction and a latent are worth, on held-out settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.semantic_eq.data.settings import BANDS, Ranges
from distsys.shapes import Float, Int

NUM_NEIGHBOURS = 15
_SHUFFLES = 50
_ACTIVE_VARIANCE = 0.01


def response_errors_db(
    estimate_db: Float[Tensor, "items points"], *, target_db: Float[Tensor, "items points"]
) -> Float[Tensor, " items"]:
    """Mean absolute difference of the responses of each item, in dB."""
    return (estimate_db - target_db).abs().mean(dim=1)


def parameter_errors(
    estimate_u: Float[Tensor, "items 13"], ranges: Ranges, *, target_u: Float[Tensor, "items 13"]
) -> dict[str, float]:
    """Gain error in dB; frequency and Q errors in octaves, weighted by |gain|: at 0 dB they are inaudible."""
    estimate, target = ranges.decode(estimate_u), ranges.decode(target_u)
    gain = [band.gain for band in BANDS]
    weight = target[:, gain].abs()
    octaves = (estimate.log2() - target.log2()).abs().nan_to_num()
    freq = octaves[:, [band.freq for band in BANDS]]
    bells = [(index, band.q) for index, band in enumerate(BANDS) if band.q is not None]
    q = octaves[:, [column for _, column in bells]]
    bell_weight = weight[:, [index for index, _ in bells]]
    return {
        "gain_mae_db": float((estimate - target)[:, gain].abs().mean()),
        "freq_mae_octaves": float((freq * weight).sum() / weight.sum().clamp(min=1e-9)),
        "q_mae_octaves": float((q * bell_weight).sum() / bell_weight.sum().clamp(min=1e-9)),
    }


def in_bounds_fraction(u: Float[Tensor, "items 13"], ranges: Ranges) -> float:
    """Share of decoded values that are finite and within their physical bounds."""
    finite = torch.isfinite(u)
    physical = ranges.decode(u.clamp(0.0, 1.0).nan_to_num())
    low, high = ranges.limits(physical)
    slack = 1e-5 * torch.maximum(low.abs(), high.abs())  # float32 rounding at a rail
    inside = (physical >= low - slack) & (physical <= high + slack)
    return float((finite & (u >= 0.0) & (u <= 1.0) & inside).float().mean())


def extreme_latents(latent_size: int, *, like: Tensor) -> Float[Tensor, "items latent"]:
    """Latents that no datum has: N(0, 9), and +-1e6 on every axis."""
    generator = torch.Generator().manual_seed(0)
    wide = 3.0 * torch.randn(256, latent_size, generator=generator)
    corners = 1e6 * torch.cat([torch.eye(latent_size), -torch.eye(latent_size), torch.ones(1, latent_size)])
    return torch.cat([wide, corners]).to(like)


def active_units(latent: Float[Tensor, "items latent"]) -> int:
    """Latent axes whose variance over items is above 0.01 (Burda et al., arXiv 1509.00519)."""
    return int((latent.var(dim=0) > _ACTIVE_VARIANCE).sum())


def knn_accuracy(
    query: Float[Tensor, "items dims"],
    query_label: Int[Tensor, " items"],
    *,
    reference: Float[Tensor, "rows dims"],
    label: Int[Tensor, " rows"],
    weight: Float[Tensor, " rows"],
) -> float:
    """Share of labelled queries whose 15 nearest references mostly have their word; NaN without any.

    A reference has ``weight`` votes: less where its person wrote many, or whoever wrote most decides.
    """
    known = query_label >= 0
    if not bool(known.any()) or len(reference) < NUM_NEIGHBOURS:
        return float("nan")
    nearest = torch.cdist(query[known], reference).topk(NUM_NEIGHBOURS, dim=1, largest=False).indices
    votes = (torch.nn.functional.one_hot(label[nearest]) * weight[nearest].unsqueeze(-1)).sum(dim=1)
    return float((votes.argmax(dim=1) == query_label[known]).float().mean())


def distance_correlation(latent: Float[Tensor, "items latent"], curve_db: Float[Tensor, "items points"]) -> float:
    """Pearson's correlation, over all pairs of items, of distances in the latent with distances of responses."""
    pairs = torch.triu_indices(len(latent), len(latent), 1)
    found, heard = (torch.cdist(item, item)[pairs[0], pairs[1]] for item in (latent.float(), curve_db.float()))
    return float(torch.corrcoef(torch.stack([found, heard]))[0, 1])


def energy_score_db(
    curves_db: Float[Tensor, "rows points"], shares: Float[Tensor, " rows"], *, made_db: Float[Tensor, "items points"]
) -> float:
    """How well curves that come up in these ``shares`` foretell those that people made, in dB.

    E|X - y| - E|X - X'| / 2, where distances are root mean squares over the points; least for the people's own.
    Source: Gneiting and Raftery, Strictly proper scoring rules, JASA 102, 2007, eq. 22.
    """
    unit = math.sqrt(curves_db.shape[1])
    to_made, among = torch.cdist(curves_db, made_db) / unit, torch.cdist(curves_db, curves_db) / unit
    return float(shares @ to_made.mean(dim=1) - 0.5 * shares @ among @ shares)


def share_of_word(
    curves_db: Float[Tensor, "items points"], *, reference: Float[Tensor, "rows points"], is_word: Tensor
) -> Float[Tensor, " items"]:
    """Which part of the 15 references that sound most alike is of a word."""
    near = torch.cdist(curves_db, reference).topk(min(NUM_NEIGHBOURS, len(reference)), dim=1, largest=False).indices
    return is_word[near].float().mean(dim=1)


def silhouette(points: Float[Tensor, "items dims"], label: Int[Tensor, " items"]) -> float:
    """Mean silhouette (Rousseeuw 1987) of the labelled items, -1 to 1; NaN below two words of two items."""
    known = label >= 0
    return _silhouette(torch.cdist(points[known], points[known]), label[known])


def shuffled_silhouette(points: Float[Tensor, "items dims"], label: Int[Tensor, " items"]) -> float:
    """The silhouette of randomly permuted labels, mean of 50: a control that must be about 0.

    Of the two most frequent words: with more, the nearest other cluster is the least of several and biases it.
    """
    words, counts = label[label >= 0].unique(return_counts=True)
    known = torch.isin(label, words[counts.argsort(descending=True, stable=True)[:2]])
    distance, label = torch.cdist(points[known], points[known]), label[known]
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(label), generator=generator).to(label.device) for _ in range(_SHUFFLES)]
    return float(np.mean([_silhouette(distance, label[order]) for order in orders]))


def _silhouette(distance: Tensor, label: Tensor) -> float:
    member = torch.nn.functional.one_hot(label).to(distance) if len(label) else distance.new_zeros(0, 0)
    member = member[:, member.sum(dim=0) > 1]
    if member.shape[1] < 2:
        return float("nan")
    counted = member.sum(dim=1) > 0
    sums, counts = distance @ member, member.sum(dim=0)
    own = member.bool()
    inner = sums[own] / (counts.expand_as(sums)[own] - 1.0)
    outer = (sums / counts).masked_fill(own, float("inf")).min(dim=1).values[counted]
    return float(((outer - inner) / torch.maximum(outer, inner).clamp(min=1e-12)).mean())


def only(batch: Batch, labels: Sequence[int]) -> Tensor:
    """The batch's labels with every word but ``labels`` unlabelled."""
    wanted = torch.tensor(list(labels), device=batch["label"].device)
    return torch.where(torch.isin(batch["label"], wanted), batch["label"], -1)
