"""Rows that any model must be seen beside: constants, class means, PCA, and raw parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.semantic_eq.metrics import (
    knn_accuracy,
    parameter_errors,
    response_errors_db,
    shuffled_silhouette,
    silhouette,
)
from distsys.domains.semantic_eq.response import response_db


def baseline_rows(train: Batch, held_out: Batch, *, latent_size: int) -> dict[str, dict[str, float]]:
    """Metrics of every baseline, fitted on ``train`` and measured on ``held_out``."""
    u, target_u = train["u"], held_out["u"]
    curves = {
        f"PCA-{latent_size} of curves": _project(train["curve_db"], held_out["curve_db"], latent_size),
        "flat": torch.zeros_like(held_out["curve_db"]),
    }
    settings = {
        f"PCA-{latent_size} on u": _project(u, target_u, latent_size).clamp(0.0, 1.0),
        "constant mean": u.mean(dim=0).expand_as(target_u),
        "class mean": _class_means(train)[held_out["label"]],
    }
    rows = {
        name: _row(response_db(value), held_out) | parameter_errors(value, target_u=target_u)
        for name, value in settings.items()
    }
    rows |= {name: _row(value, held_out) for name, value in curves.items()}
    return rows | {"raw parameters": _raw(train, held_out), "majority": {"knn_accuracy": _majority(train, held_out)}}


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
