"""From a covariance to sources: MUSIC on its main subspace, then maximum likelihood from the peaks it found."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distsys.config.reuse import reused
from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.geometry import Surface, surface_of
from distsys.domains.ris_localization.data.sensing import Sensing, sensing_of
from distsys.domains.ris_localization.data.steering import Steering, steering_of
from distsys.domains.ris_localization.model.grouping import by_number, in_chunks, padded
from distsys.domains.ris_localization.model.likelihood import Likelihood
from distsys.domains.ris_localization.model.music import Music
from distsys.domains.ris_localization.model.subspace import raw_factors, signal_subspace
from distsys.shapes import Complex, Float

_CANDIDATES_PER_SOURCE = 2


@dataclass(frozen=True)
class Estimate:
    """Sources [scenes, most sources, 3] as (u, v, q), float64, zero beyond the number of sources.

    Args:
        music: the highest peaks of the spectrum, refined.
        polished: maximum likelihood, started from the candidates that explain the snapshots best.
    """

    music: Tensor
    polished: Tensor


class Localizer:
    """Everything between a covariance and sources that depends on the surface alone.

    Batches need ``snapshots`` and ``num_sources``; results have a row for each of the most sources.
    """

    def __init__(self, surface: Surface, steering: Steering, sensing: Sensing, *, max_sources: int) -> None:
        self.surface, self.steering, self.sensing, self.max_sources = surface, steering, sensing, max_sources
        self.music = Music(surface, steering)
        self.likelihood = Likelihood(steering, sensing, surface)

    def with_steering(self, steering: Steering) -> Localizer:
        """The same surface, its elements being those of ``steering``."""
        return Localizer(self.surface, steering, self.sensing, max_sources=self.max_sources)

    def estimate(
        self,
        factors: Complex[Tensor, "scenes elements rank"],
        batch: Batch,
        *,
        others: Float[Tensor, "scenes others 3"] | None = None,
    ) -> Estimate:
        """Sources of every scene of ``batch`` from R = F F^H.

        Args:
            others: (u, v, q) of further candidates that the likelihood may start from, as many as sources.
        """

        def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
            found = self._candidates(factors[rows], number)
            starts = found if others is None else torch.cat([found, others[rows, :number]], dim=1)
            polished = self._polished(starts, self.grouped(batch["snapshots"][rows]), number)
            return tuple(padded(item, max_sources=self.max_sources) for item in (found[:, :number], polished))

        return Estimate(*by_number(batch["num_sources"], solve))

    def raw(self, batch: Batch) -> Estimate:
        """The same from the sample covariance."""
        return self.estimate(self.raw_factors(batch), batch)

    def raw_peaks(self, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
        """What MUSIC alone finds on the sample covariance."""
        factors = self.raw_factors(batch)

        def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
            return (padded(self._candidates(factors[rows], number)[:, :number], max_sources=self.max_sources),)

        return by_number(batch["num_sources"], solve)[0]

    def raw_factors(self, batch: Batch) -> Complex[Tensor, "scenes elements sources"]:
        """Factors of the sample covariance's main part."""
        return raw_factors(batch["snapshots"], self.sensing, rank=self.max_sources)

    def _candidates(self, factors: Tensor, num_sources: int) -> Tensor:
        subspace = signal_subspace(factors, num_sources=num_sources)
        return self.music.candidates(subspace, count=_CANDIDATES_PER_SOURCE * num_sources)[0]

    def _polished(self, starts: Tensor, data: Tensor, num_sources: int) -> Tensor:
        def solve(uvq: Tensor, piece: Tensor) -> Tensor:
            best = self.likelihood.best_subset(uvq, piece, num_sources=num_sources)
            return self.likelihood.polish(best, piece)

        return in_chunks(solve, starts, data)

    def grouped(self, snapshots: Tensor) -> Tensor:
        """Snapshots as the likelihood wants them."""
        return self.sensing.grouped(snapshots.to(torch.complex128))


@reused
def localizer_of(data: DataConfig) -> Localizer:
    """The localizer of ``data``; its dictionary is made once a process."""
    return Localizer(surface_of(data), steering_of(data, data.steering), sensing_of(data), max_sources=data.max_sources)
