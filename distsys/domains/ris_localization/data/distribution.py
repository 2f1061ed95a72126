"""What scenes are drawn from: places, numbers of sources and snapshots, SNR and correlation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.geometry import Surface, surface_of
from distsys.shapes import Float, Int


@dataclass(frozen=True)
class Distribution:
    """Turns uniform draws of (0, 1) into what a scene is made of.

    Args:
        surface: sources stand in its region.
        condition: what is not drawn; of the following, what it fixes is not read from the config.
        num_sources, snr_db: least and most; SNR is per element and source.
        max_snapshots: of a scene.
        few_share: of scenes, that have one snapshot to that many.
        coherent_share, partial_share: of scenes, whose sources are correlated by one and by one half.
    """

    surface: Surface
    condition: Condition
    num_sources: tuple[int, int]
    max_snapshots: int
    few_share: float
    snr_db: tuple[float, float]
    coherent_share: float
    partial_share: float

    @classmethod
    def of(cls, data: DataConfig, condition: Condition) -> Distribution:
        """That of ``data`` under ``condition``; reads no more keys than it needs, so that others change no scene."""
        is_fixed = condition.correlation is not None
        return cls(
            surface_of(data),
            condition,
            num_sources=(data.min_sources, data.max_sources),
            max_snapshots=data.num_snapshots,
            few_share=data.few_share if condition.num_snapshots is None else 0.0,
            snr_db=(data.min_snr_db, data.max_snr_db) if condition.snr_db is None else (condition.snr_db,) * 2,
            coherent_share=0.0 if is_fixed else data.coherent_share,
            partial_share=0.0 if is_fixed else data.partial_share,
        )

    def sources(self, draw: Float[Tensor, " scenes"]) -> Int[Tensor, " scenes"]:
        """Numbers of sources."""
        low, high = self.num_sources
        return (low + (draw * (high - low + 1)).floor().long()).clamp(low, high)

    def snapshots(self, draw: Float[Tensor, " scenes"]) -> Int[Tensor, " scenes"]:
        """Numbers of snapshots: mostly all; otherwise uniform in the logarithm from one on."""
        most = self.max_snapshots
        if self.condition.num_snapshots is not None:
            return torch.full_like(draw, self.condition.num_snapshots, dtype=torch.long)
        few = (most ** (draw / max(self.few_share, 1e-9)).clamp(max=1.0)).floor().long().clamp(1, most)
        return torch.where(draw < self.few_share, few, most)

    def snrs_db(self, draw: Float[Tensor, " scenes"]) -> Float[Tensor, " scenes"]:
        """SNRs, uniform in dB."""
        low, high = self.snr_db
        return low + draw * (high - low)

    def correlations(self, draw: Float[Tensor, " scenes"]) -> Float[Tensor, " scenes"]:
        """Correlations between the signals of sources: 1, 0.5 or 0."""
        if self.condition.correlation is not None:
            return torch.full_like(draw, self.condition.correlation)
        coherent, partial = self.coherent_share, self.partial_share
        return (draw < coherent).float() + 0.5 * ((draw >= coherent) & (draw < coherent + partial)).float()

    def places(self, draws: Float[Tensor, "*items 3"]) -> Float[Tensor, "*items 3"]:
        """(phi in rad, theta in rad, r in m), uniform in the region."""
        surface = self.surface
        ends = draws.new_tensor([surface.max_phi_rad, surface.max_theta_rad])
        ranges = surface.min_range_m + draws[..., 2:] * (surface.max_range_m - surface.min_range_m)
        return torch.cat([(2.0 * draws[..., :2] - 1.0) * ends, ranges], dim=-1)
