"""What the network makes of a batch, and the loss terms of that."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.protocol import Batch, Outputs
from distsys.domains.ris_localization.config import Config
from distsys.domains.ris_localization.data.truth import true_columns
from distsys.domains.ris_localization.model import losses
from distsys.domains.ris_localization.model.network import CovarianceNet


def forward(model: CovarianceNet, batch: Batch, *, generator: torch.Generator) -> Outputs:
    """``factors`` F of the covariance R = F F^H; nothing is drawn."""
    return {"factors": model(batch)}


def loss_terms(outputs: Outputs, batch: Batch, *, config: Config) -> dict[str, Tensor]:
    """Unweighted terms, see ``losses``; the target is made of the true sources, never of snapshots."""
    factors, steering, load = outputs["factors"], true_columns(config.data, batch), config.model.load
    align = losses.align_loss if config.model.align_form == "linear" else losses.squared_align_loss
    return {
        "covariance": losses.covariance_loss(factors, steering=steering, load=load),
        "subspace_align": align(factors, steering=steering),
        "peak_contrast": losses.contrast_loss(factors, steering=steering, load=load),
    }
