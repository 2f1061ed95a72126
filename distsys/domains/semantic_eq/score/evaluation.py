"""All metrics of one model on one frozen set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import nearest
from distsys.domains.semantic_eq.model.losses import contrastive_chance, contrastive_loss
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.words import Words, words_of
from distsys.domains.semantic_eq.score import metrics


@dataclass(frozen=True)
class Found:
    """Where a model puts settings, for figures.

    Args:
        latent, known: [items, latent] codes of the held-out and of the training settings of words, as the encoder
            gives them: words are compared by these.
        estimate_db: [items, points] responses of the reconstructions.
    """

    latent: Tensor
    known: Tensor
    estimate_db: Tensor


def evaluate(model: SettingAutoencoder, data: EvalSet) -> Evaluation:
    """Metrics of ``model`` on ``data``, whose reference holds the training settings of the words."""
    (batch,) = data.batches
    assert data.reference is not None
    latent = model.encode(batch["u"], curve_db=batch["curve_db"]).mean
    known = model.encode(data.reference["u"], curve_db=data.reference["curve_db"]).mean
    first_db = response_db(nearest(model.decode(latent)), model.ranges)
    u = model.decode(model.refined(latent, curve_db=batch["curve_db"]))
    extreme = model.decode(metrics.extreme_latents(latent.shape[1], like=latent))
    estimate_db = response_db(nearest(u), model.ranges)
    words = words_of(model)
    known_db = response_db(nearest(model.decode(known)), model.ranges)
    errors = metrics.response_errors_db(estimate_db, target_db=batch["curve_db"])
    encoder_mae_db = float(metrics.response_errors_db(first_db, target_db=batch["curve_db"]).mean())
    constant = metrics.response_errors_db(model.curve_mean.expand_as(batch["curve_db"]), target_db=batch["curve_db"])
    projected, label = model.projection(latent), batch["label"]
    found = {
        "response_mae_db": float(errors.mean()),
        "encoder_mae_db": encoder_mae_db,
        # Refinement mends what an encoder that knows nothing begins with; this sees it.
        "encoder_skill": 1.0 - encoder_mae_db / float(constant.mean()),
        **metrics.parameter_errors(nearest(u), model.ranges, target_u=batch["u"]),
        "in_bounds_fraction": min(metrics.in_bounds_fraction(item, model.ranges) for item in (u, extreme)),
        "active_units": float(metrics.active_units(latent)),
        "knn_accuracy": metrics.knn_accuracy(
            latent, label, reference=known, label=data.reference["label"], weight=data.reference["weight"]
        ),
        "distance_correlation": metrics.distance_correlation(latent, batch["curve_db"]),
        "energy_score_db": _energy_score_db(words, known_db, batch),
        "silhouette": metrics.silhouette(projected, label),
        "silhouette_shuffled": metrics.shuffled_silhouette(projected, label),
        "contrastive_loss": float(contrastive_loss(projected, label=label, temperature=model.temperature)),
        "contrastive_chance": contrastive_chance(label),
    }
    return Evaluation(found, errors.cpu().numpy(), Found(latent, known, estimate_db))


def _energy_score_db(words: Words, known_db: Tensor, batch: Batch) -> float:
    """Of the words' distributions, by the encoder's codes, against held-out settings; the mean over words."""
    scores = [
        metrics.energy_score_db(known_db, words.shares(term), made_db=batch["curve_db"][batch["label"] == index])
        for index, term in enumerate(words.terms)
        if bool((batch["label"] == index).any())
    ]
    return sum(scores) / len(scores) if scores else math.nan
