"""A domain under test: its config, data and model, each made when a promise first asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from distsys.config.layers import find_config, read_layers
from distsys.config.schema import CoreConfig
from distsys.config.validate import config_type, validate_layers
from distsys.domains.protocol import AnyDomain, Batch, DataBundle
from distsys.domains.registry import domain_homes, get_domain
from distsys.training.data import built_data


@dataclass(frozen=True)
class Overfit:
    """What eight items must be learned by heart in.

    Args:
        term: loss term that is followed; the first one when empty.
        share: of its first value, what may remain.
    """

    term: str = ""
    rate: float = 3e-3
    steps: int = 300
    share: float = 0.75


@dataclass
class Subject:
    """One domain with one config.

    Args:
        name: the domain's.
        config_name: path of its config file, or the name of a shipped one; the domain's name when empty.
        preset: one of that file's.
        overrides: ``key=value`` each, to make it small.
    """

    name: str
    config_name: str = ""
    preset: str | None = None
    overrides: tuple[str, ...] = ()
    overfit: Overfit = Overfit()

    @cached_property
    def domain(self) -> AnyDomain:
        return get_domain(self.name)

    @cached_property
    def config(self) -> CoreConfig:
        return self.configured()

    def configured(self, *more: str) -> CoreConfig:
        """The config with further overrides."""
        layers = read_layers(self.config_path, preset=self.preset, overrides=(*self.overrides, *more))
        return validate_layers(layers, config_type(self.domain.config))

    @property
    def config_path(self) -> Path:
        return find_config(self.config_name or self.name, homes=domain_homes())

    @cached_property
    def bundle(self) -> DataBundle:
        """As runs have it: what any of them may share."""
        return built_data(self.domain, self.config.model_copy(update={"seed": 0}))

    def build_data(self, *, seed: int) -> DataBundle:
        """Fresh data."""
        return self.domain.build_data(self.config, seed=seed)

    def build_model(self) -> nn.Module:
        """A fresh model, always of the same weights."""
        torch.manual_seed(0)
        model: nn.Module = self.domain.build_model(self.config, self.bundle.statistics)
        return model

    def batch(self, count: int) -> Batch:
        """The first ``count`` training items."""
        return self.bundle.train.batch(range(count), progress=0.0)

    def terms(self, model: nn.Module, batch: Batch, generator: torch.Generator | None = None) -> Mapping[str, Tensor]:
        """The loss terms of ``batch``."""
        generator = generator or torch.Generator().manual_seed(0)
        outputs = self.domain.forward(model, batch, generator=generator)
        return self.domain.loss_terms(outputs, batch, config=self.config)
