"""Rows that any model must be seen beside: constants, class means, PCA, and raw parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.protocol import Baseline, Batch, DataBundle, EvalSet, Kind
from distsys.domains.semantic_eq.config import Config
from distsys.domains.semantic_eq.data.bundle import RecombiningSource
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import ranges_of
from distsys.domains.semantic_eq.score.metrics import (
    knn_accuracy,
    parameter_errors,
    response_errors_db,
    shuffled_silhouette,
    silhouette,
)


def baselines(config: Config, bundle: DataBundle, data: EvalSet) -> dict[str, Baseline]:
    """Metrics of every baseline, fitted on the training rows of ``bundle`` and measured on ``data``."""
    assert isinstance(bundle.train, RecombiningSource)
    train, (held_out,), rank = bundle.train.rows.batch(), data.batches, config.model.latent_size
    u, target_u, ranges = train["u"], held_out["u"], ranges_of(config.data)
    settings: dict[str, tuple[Kind, Tensor]] = {
        f"PCA-{rank} on u": ("peer", _project(u, target_u, rank).clamp(0.0, 1.0)),
        "constant mean": ("trivial", u.mean(dim=0).expand_as(target_u)),
        "class mean": ("trivial", _class_means(train)[held_out["label"]]),
    }
    curves: dict[str, tuple[Kind, Tensor]] = {
        f"PCA-{rank} of curves": ("peer", _project(train["curve_db"], held_out["curve_db"], rank)),
        "flat": ("trivial", torch.zeros_like(held_out["curve_db"])),
    }
    rows = {
        name: Baseline(
            kind, _row(response_db(value, ranges), held_out) | parameter_errors(value, ranges, target_u=target_u)
        )
        for name, (kind, value) in settings.items()
    }
    rows |= {name: Baseline(kind, _row(value, held_out)) for name, (kind, value) in curves.items()}
    rows["raw parameters"] = Baseline("peer", _raw(train, held_out))
    rows["majority"] = Baseline("trivial", {"knn_accuracy": _majority(train, held_out)})
    return rows


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
            held_out["u"], held_out["label"], reference=train["u"][known], label=train["label"][known]
        ),
        "silhouette": silhouette(held_out["u"], held_out["label"]),
        "silhouette_shuffled": shuffled_silhouette(held_out["u"], held_out["label"]),
    }


def _majority(train: Batch, held_out: Batch) -> float:
    known, asked = train["label"][train["label"] >= 0], held_out["label"][held_out["label"] >= 0]
    return float((asked == known.mode().values).float().mean()) if len(known) and len(asked) else float("nan")
