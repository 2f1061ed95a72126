"""What the autoencoder makes of a batch, and the loss terms of that."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.domains.protocol import Batch, Outputs
from distsys.domains.semantic_eq.config import Config
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import nearest, ranges_of
from distsys.domains.semantic_eq.model import losses
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.refine import STRIDE


def forward(model: SettingAutoencoder, batch: Batch, *, generator: torch.Generator) -> Outputs:
    """``u`` and the ``activation`` it was bounded from, the code's ``mean`` (and ``log_variance``), ``projection``."""
    code = model.encode(batch["u"], curve_db=batch["curve_db"])
    activation = model.activations(code.sample(generator) if model.training else code.mean)
    outputs = {
        "u": model.bound(activation),
        "activation": activation,
        "mean": code.mean,
        "projection": model.projection(code.mean),
    }
    return outputs if code.log_variance is None else {**outputs, "log_variance": code.log_variance}


def loss_terms(outputs: Outputs, batch: Batch, *, config: Config) -> dict[str, Tensor]:
    """Unweighted terms, see ``losses``; an autoencoder without a variance has no divergence."""
    activation = outputs["activation"]
    estimate_db = response_db(nearest(outputs["u"]), ranges_of(config.data))
    return {
        "response": losses.response_loss(estimate_db, target_db=batch["curve_db"]),
        "params": losses.parameter_loss(outputs["u"], target_u=batch["u"]),
        **comparing_terms(compared(outputs, batch), config=config),
        "excess": losses.excess_loss(activation),
        "kl": losses.kl_loss(outputs["mean"].float(), log_variance=outputs["log_variance"].float())
        if "log_variance" in outputs
        else (activation * 0.0).sum(),
    }


def compared(outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
    """``projection`` and ``label`` for the contrastive term, ``latent`` and ``curve_db`` for the isometry."""
    return {
        "projection": outputs["projection"].float(),
        "label": batch["label"],
        "latent": outputs["mean"].float(),
        "curve_db": batch["curve_db"][:, ::STRIDE],
    }


def comparing_terms(compared: Mapping[str, Tensor], *, config: Config) -> dict[str, Tensor]:
    """Both terms of items that may come from several workers."""
    words = {name: compared[name] for name in ("projection", "label")}
    return {
        "contrastive": losses.contrastive_loss(**words, temperature=config.model.temperature),
        "isometry": losses.isometry_loss(compared["latent"], curve_db=compared["curve_db"]),
    }
