"""How many sources a scene has: by penalised likelihood, and by eigenvalues alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from distsys.domains.ris_localization.model.greedy import GreedySearch
from distsys.domains.ris_localization.model.likelihood import projected
from distsys.domains.ris_localization.model.localizer import Localizer
from distsys.shapes import Complex, Float, Int

_PER_SOURCE = 3
"""Coordinates of a source."""
_CHUNK = 16


@dataclass(frozen=True)
class Order:
    """Numbers of sources, and where these are, of every number that was tried.

    Args:
        num_sources: [scenes], 0 to the most that were tried.
        places: [scenes, 0 to most, most, 3], (u, v, q) of the sources that are found for each number, zero beyond.
        scores: [scenes, 0 to most], the penalised minus log-likelihood of each number; the least is chosen.
    """

    num_sources: Tensor
    places: Tensor
    scores: Tensor

    @property
    def uvq(self) -> Float[Tensor, "scenes most 3"]:
        """The sources of each scene."""
        return self.places[torch.arange(len(self.num_sources)), self.num_sources]


def order_by_likelihood(
    localizer: Localizer, snapshots: Complex[Tensor, "scenes channels snapshots"], *, most: int, num_snapshots: Tensor
) -> Order:
    """The number that explains most for what it costs, 0 to ``most`` sources found one after the other.

    A source costs half the logarithm of the samples that it is estimated from for each of its coordinates, and of the
    channels for both parts of each amplitude: coherent sources count as others do.
    Source: minimum description length, Rissanen 1978; greedy search, Ziskind and Wax 1988.

    Args:
        num_snapshots: [scenes], beyond which snapshots are zero.
    """
    search, data = GreedySearch(localizer), localizer.grouped(snapshots)
    found = [_paths(search, localizer, piece, most) for piece in data.split(_CHUNK)]
    energies, places = torch.cat([item[0] for item in found]), torch.cat([item[1] for item in found])
    channels, taken = snapshots.shape[1], num_snapshots.double()[:, None]
    numbers = torch.arange(most + 1, dtype=torch.float64)
    samples = channels * taken
    cost = 0.5 * _PER_SOURCE * numbers * (2.0 * samples).log() + numbers * taken * math.log(channels)
    scores = samples * energies.clamp(min=1e-300).log() + cost
    return Order(scores.argmin(dim=1), places, scores)


def _paths(search: GreedySearch, localizer: Localizer, data: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Unexplained energy [scenes, 0 to most] and places [scenes, 0 to most, most, 3] of every number of sources."""
    energies, places = [torch.view_as_real(data).square().flatten(1).sum(dim=1)], []
    steps = search.steps(data, num_sources=most)
    for uvq in steps:
        columns, _ = localizer.likelihood.columns(uvq)
        residual = projected(columns, data)[1]
        energies.append(torch.view_as_real(residual).square().flatten(1).sum(dim=1))
        places.append(torch.nn.functional.pad(uvq, (0, 0, 0, most - uvq.shape[1])))
    nowhere = torch.zeros_like(places[0])
    return torch.stack(energies, dim=1), torch.stack([nowhere, *places], dim=1)


def order_by_eigenvalues(
    snapshots: Complex[Tensor, "scenes channels snapshots"],
    *,
    most: int,
    rule: Literal["mdl", "aic"],
) -> Int[Tensor, " scenes"]:
    """The number after which eigenvalues of the sample covariance are alike, 0 to ``most``; coherent sources are one.

    With fewer snapshots than channels both change places, since white noise is as white along either.
    Source: Wax and Kailath 1985.
    """
    wide = snapshots.to(torch.complex128)
    samples, size = max(wide.shape[1:]), min(wide.shape[1:])
    values = torch.linalg.svdvals(wide).square().clamp(min=1e-300)  # largest first
    scores = [_eigen_score(values, number, samples, rule) for number in range(min(most, size - 1) + 1)]
    return torch.stack(scores, dim=1).argmin(dim=1)


def _eigen_score(values: Tensor, number: int, samples: int, rule: str) -> Float[Tensor, " scenes"]:
    rest = values[:, number:]
    unlike = rest.mean(dim=1).log() - rest.log().mean(dim=1)  # log of arithmetic over geometric mean
    free = number * (2 * values.shape[1] - number)
    return samples * rest.shape[1] * unlike + free * (0.5 * math.log(samples) if rule == "mdl" else 1.0)
