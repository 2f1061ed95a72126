"""Rows that any model must be seen beside: constants, class means, PCA, and raw parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from distsys.domains.kit import Lazily
from distsys.domains.protocol import Baseline, Batch, DataBundle, EvalSet, Kind
from distsys.domains.semantic_eq.config import Config
from distsys.domains.semantic_eq.data.bundle import RecombiningSource
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import Ranges, ranges_of
from distsys.domains.semantic_eq.model.refine import STRIDE, refined
from distsys.domains.semantic_eq.score.metrics import (
    energy_score_db,
    knn_accuracy,
    parameter_errors,
    response_errors_db,
    shuffled_silhouette,
    silhouette,
)

_FIT_STEPS = 60


def baselines(config: Config, bundle: DataBundle, data: EvalSet) -> dict[str, Baseline]:
    """Metrics of every baseline, fitted on the training rows of ``bundle`` and measured on ``data``."""
    assert isinstance(bundle.train, RecombiningSource)
    train, (held_out,), rank = bundle.train.rows.batch(), data.batches, config.model.latent_size
    u, target_u, ranges = train["u"], held_out["u"], ranges_of(config.data)
    projected_db = _project(train["curve_db"], held_out["curve_db"], rank)
    settings: dict[str, tuple[Kind, Callable[[], Tensor]]] = {
        f"PCA-{rank} on u": ("peer", lambda: _project(u, target_u, rank).clamp(0.0, 1.0)),
        "constant mean": ("trivial", lambda: u.mean(dim=0).expand_as(target_u)),
        "class mean": ("trivial", lambda: _class_means(train)[held_out["label"]]),
        f"PCA-{rank} of curves, nearest setting": ("peer", lambda: _nearest_setting(projected_db, train, ranges)),
        f"{rank} of 13 parameters kept": (
            "peer",
            lambda: _kept(target_u, held_out["curve_db"], train, ranges, rank),
        ),
    }
    flat_db = torch.zeros_like(held_out["curve_db"])
    others: dict[str, tuple[Kind, Callable[[], Mapping[str, float]]]] = {
        f"PCA-{rank} of curves": ("peer", lambda: _row(projected_db, held_out)),
        "flat": ("trivial", lambda: _row(flat_db, held_out) | _foretelling(train, held_out, "flat")),
        "settings of the word": ("peer", lambda: _foretelling(train, held_out, "word")),
        "settings of any word": ("peer", lambda: _foretelling(train, held_out, "any")),
        "raw parameters": ("peer", lambda: _raw(train, held_out)),
        "majority": ("trivial", lambda: {"knn_accuracy": _majority(train, held_out)}),
    }

    def scored(make: Callable[[], Tensor]) -> dict[str, float]:
        estimate = make()
        row = _row(response_db(estimate, ranges), held_out)
        return row | parameter_errors(estimate, ranges, target_u=target_u)

    rows = {name: Baseline(kind, Lazily(partial(scored, make))) for name, (kind, make) in settings.items()}
    return {**rows, **{name: Baseline(kind, Lazily(find)) for name, (kind, find) in others.items()}}


def _nearest_setting(target_db: Tensor, train: Batch, ranges: Ranges) -> Tensor:
    """Settings within bounds whose response is fitted to ``target_db``, each from the training setting most like it."""
    start = train["u"][torch.cdist(target_db, train["curve_db"]).argmin(dim=1)]
    coarse_db = target_db[:, ::STRIDE]

    def response_of(u: Tensor) -> Tensor:
        return response_db(u.clamp(0.0, 1.0), ranges, num_points=coarse_db.shape[1])

    return refined(response_of, start, coarse_db, steps=_FIT_STEPS).clamp(0.0, 1.0)


def _kept(target_u: Tensor, target_db: Tensor, train: Batch, ranges: Ranges, count: int) -> Tensor:
    """Settings of which ``count`` parameters are right and the others at the median of training.

    Of each setting those are given up, one after the other, that its response misses least: which, it is told for free.
    """
    median, found = train["u"].median(dim=0).values, target_u.clone()
    is_kept = torch.ones_like(found, dtype=torch.bool)
    for _ in range(found.shape[1] - count):
        tried = torch.stack([found.index_fill(1, torch.tensor([column]), 0.0) for column in range(found.shape[1])], 1)
        tried += torch.diag(median)
        error = (
            (response_db(tried.flatten(0, 1), ranges).view(*tried.shape[:2], -1) - target_db[:, None]).abs().mean(-1)
        )
        given_up = error.masked_fill(~is_kept, math.inf).argmin(dim=1, keepdim=True)
        is_kept.scatter_(1, given_up, False)
        found = torch.where(is_kept, found, median)
    return found


def _foretelling(train: Batch, held_out: Batch, how: str) -> dict[str, float]:
    """Energy score of a word's training settings, of those of any word, or of no change at all; the mean over words."""
    label, made = train["label"], held_out["label"]
    scores = []
    for word in range(int(label.max()) + 1):
        if not bool((made == word).any()):
            continue
        rows = {"word": label == word, "any": label >= 0}.get(how)
        curves = torch.zeros_like(train["curve_db"][:1]) if rows is None else train["curve_db"][rows]
        shares = torch.full((len(curves),), 1.0 / len(curves))
        scores.append(energy_score_db(curves, shares, made_db=held_out["curve_db"][made == word]))
    return {"energy_score_db": sum(scores) / len(scores)} if scores else {}


def _row(estimate_db: Tensor, held_out: Batch) -> dict[str, float]:
    return {"response_mae_db": float(response_errors_db(estimate_db, target_db=held_out["curve_db"]).mean())}


def _project(train: Tensor, held_out: Tensor, rank: int) -> Tensor:
    """``held_out`` through the first ``rank`` principal axes of ``train``."""
    mean = train.mean(dim=0)
    _, _, axes = torch.linalg.svd((train - mean).double(), full_matrices=False)
    basis = axes[:rank].to(train)
    projected: Tensor = (held_out - mean) @ basis.T @ basis + mean
    return projected


def _class_means(train: Batch) -> Tensor:
    """[words + 1, 13]: the mean of each word, and last, where label -1 points, the mean of all."""
    words = range(int(train["label"].max()) + 1)
    means = [train["u"][train["label"] == word].mean(dim=0) for word in words]
    return torch.stack([*means, train["u"].mean(dim=0)])


def _raw(train: Batch, held_out: Batch) -> dict[str, float]:
    known = train["label"] >= 0
    return {
        "knn_accuracy": knn_accuracy(
            held_out["u"],
            held_out["label"],
            reference=train["u"][known],
            label=train["label"][known],
            weight=train["weight"][known],
        ),
        "silhouette": silhouette(held_out["u"], held_out["label"]),
        "silhouette_shuffled": shuffled_silhouette(held_out["u"], held_out["label"]),
    }


def _majority(train: Batch, held_out: Batch) -> float:
    known, asked = train["label"][train["label"] >= 0], held_out["label"][held_out["label"] >= 0]
    return float((asked == known.mode().values).float().mean()) if len(known) and len(asked) else float("nan")
