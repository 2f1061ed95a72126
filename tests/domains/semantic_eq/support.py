"""What a model remembers, of a table that is made here."""

from __future__ import annotations

from typing import Any

import torch

from distsys.domains.protocol import DataBundle, Statistics
from distsys.domains.semantic_eq.config import Config, DataConfig, ModelConfig
from distsys.domains.semantic_eq.data.bundle import build_data
from distsys.domains.semantic_eq.model.network import SettingAutoencoder, build_model

SMALL = Config(data=DataConfig(num_synthetic=600, held_out_rows=60))


def small_bundle() -> DataBundle:
    """Of 600 synthetic settings."""
    return build_data(SMALL, seed=0)


def small_statistics() -> Statistics:
    return small_bundle().statistics


def small_model(**settings: Any) -> SettingAutoencoder:
    """A model that was never trained."""
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"model": ModelConfig.model_validate({"width": 32, "depth": 2, **settings})})
    return build_model(config, small_statistics()).eval()
