"""One member of the committee: all routes share the regression of levels, and keep what is given below 1 Hz."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.levels import LevelModel, features_of
from distsys.domains.ground_motion.data.operators import NUM_BANDS, highpart, normal
from distsys.shapes import Float

if TYPE_CHECKING:
    import torch


class Member(nn.Module, ABC):
    """What was learned from the events of three folds.

    Args:
        statistics: what it remembers of its training windows, see :func:`statistics.statistics_of`.
    """

    level_mean: Tensor
    level_scale: Tensor
    level_weight: Tensor
    level_factor: Tensor
    spectrum: Tensor

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        for name in ("level_mean", "level_scale", "level_weight", "level_factor", "spectrum"):
            self.register_buffer(name, statistics[name].clone())

    @abstractmethod
    def outputs(self, motion: Float[Tensor, "batch time"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """What the loss terms of this route look at, for windows that are known as a whole."""

    @abstractmethod
    def draw(
        self,
        given: Float[Tensor, "batch time"],
        level: Float[Tensor, "batch count bands"],
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "batch count time"]:
        """Motions above 1 Hz for what is ``given`` below, of about these levels."""

    @property
    def levels(self) -> LevelModel:
        """The regression of levels."""
        return LevelModel(self.level_mean, self.level_scale, self.level_weight, self.level_factor)

    def sample(
        self,
        given: Float[Tensor, "batch time"],
        metadata: Float[Tensor, "batch known"],
        count: int,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "batch count time"]:
        """Motions whose part below 1 Hz is ``given``, drawn from what this member believes."""
        expected = self.levels.mean_of(features_of(given, metadata))
        noise = normal(len(given), count, NUM_BANDS, generator=generator, device=given.device)
        level = expected[:, None] + noise @ self.level_factor.T
        return given[:, None] + highpart(self.draw(given, level, generator=generator))
