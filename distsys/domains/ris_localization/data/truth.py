"""What is true of the scenes of a batch: which sources exist, and their steering vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.steering import steering_of
from distsys.shapes import Bool, Complex


def present_in(batch: Batch) -> Bool[Tensor, "scenes sources"]:
    """Which of the sources exist."""
    number = batch["num_sources"]
    return torch.arange(batch["uvq"].shape[1], device=number.device) < number[:, None]


def true_columns(data: DataConfig, batch: Batch) -> Complex[Tensor, "scenes elements sources"]:
    """Steering vectors of the true sources under the assumed wave, as columns; absent sources are zero."""
    vectors = steering_of(data, data.steering).vectors(batch["uvq"])
    return (vectors * present_in(batch)[..., None]).mT
