"""From a covariance to sources: MUSIC on its main subspace, then maximum likelihood from the peaks it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.likelihood import Likelihood
from distsys.domains.ris_localization.model import main_eigenvectors
from distsys.domains.ris_localization.music import Music, signal_subspace
from distsys.domains.ris_localization.sensing import Sensing
from distsys.shapes import Complex, Float

_CANDIDATES_PER_SOURCE = 2
_CHUNK = 128


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
    """Everything between a covariance and sources that depends on the surface alone."""

    def __init__(self, data: DataConfig) -> None:
        self.surface, self.steering, self.sensing = data.surface(), data.assumed_steering(), data.sensing()
        self.music = Music(self.surface, self.steering)
        self.likelihood = Likelihood(self.steering, self.sensing, self.surface)

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
            return tuple(
                torch.nn.functional.pad(item, (0, 0, 0, batch["uvq"].shape[1] - number))
                for item in (found[:, :number], polished)
            )

        return Estimate(*restored(batch["num_sources"], by_number(batch["num_sources"], solve)))

    def raw(self, batch: Batch) -> Estimate:
        """The same from the sample covariance."""
        return self.estimate(raw_factors(batch["snapshots"], self.sensing, rank=batch["uvq"].shape[1]), batch)

    def raw_peaks(self, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
        """What MUSIC alone finds on the sample covariance."""
        most = batch["uvq"].shape[1]
        factors = raw_factors(batch["snapshots"], self.sensing, rank=most)

        def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
            found = self._candidates(factors[rows], number)[:, :number]
            return (torch.nn.functional.pad(found, (0, 0, 0, most - number)),)

        return restored(batch["num_sources"], by_number(batch["num_sources"], solve))[0]

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


@cache
def localizer(data: DataConfig) -> Localizer:
    """The localizer of ``data``; its dictionary is made once a process."""
    return Localizer(data)


def raw_factors(
    snapshots: Complex[Tensor, "scenes channels snapshots"], sensing: Sensing, *, rank: int
) -> Complex[Tensor, "scenes elements rank"]:
    """Factors of the sample covariance's main part."""
    vectors, values = main_eigenvectors(sensing.back_projected(snapshots), rank=rank)
    return vectors * values.sqrt()[:, None]


def by_number(num_sources: Tensor, solve: Callable[[Tensor, int], tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    """``solve(rows, number)`` for each number of sources that occurs, fewest first."""
    numbers = num_sources.unique().tolist()
    return [solve((num_sources == number).nonzero()[:, 0], number) for number in numbers]


def restored(num_sources: Tensor, parts: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """What :func:`by_number` gave, each result in one tensor again, scenes in their own order."""
    place = num_sources.argsort(stable=True).argsort()
    return [torch.cat(item)[place] for item in zip(*parts, strict=True)]


def in_chunks(solve: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Float[Tensor, ...]:
    """``solve`` on a few scenes at a time: what it keeps in between fits the cache."""
    pieces = zip(first.split(_CHUNK), second.split(_CHUNK), strict=True)
    return torch.cat([solve(*piece) for piece in pieces])
