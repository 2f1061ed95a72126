"""Elements learned from scenes whose sources nobody knows, by the likelihood, and from a few whose sources are known.

Rounds of greedy maximum likelihood with the array as it is known so far, each followed by joint Gauss-Newton steps on
elements and sources (:mod:`.array_fit`). Noise is estimated scene by scene, so that one whose sources were not found
weighs little, and one that explains far less than others is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distsys.domains.ris_localization.data.array_file import LearnedArray
from distsys.domains.ris_localization.data.sensing import Sensing
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.array_fit import (
    PER_ELEMENT,
    Scenes,
    Step,
    expanded,
    moved,
    parameters,
)
from distsys.domains.ris_localization.model.greedy import GreedySearch
from distsys.domains.ris_localization.model.localizer import Localizer
from distsys.shapes import Float

_CHUNK = 25
_OUTLIER = 3.0
"""A scene whose unexplained share is so many times the median's holds sources that were not found."""
_ROUNDS = ((80, False, 5), (140, False, 5), (200, True, 5), (None, True, 6), (None, True, 6))
"""Scenes that are looked at, whether positions are free, and steps, of each round."""
_PRIOR = (0.5, 1.0)
"""Standard deviations of log gain in neper and of phase in rad that are believed before any scene."""
_PRIOR_SPACING = 0.1
"""And of a coordinate, as a share of the spacing."""
_FROZEN = 1e18
_EASE, _STIFFEN, _DAMPING = 0.2, 8.0, 1e-3
_SETTLED = 0.02
"""A step that makes the scenes more likely by less, in nat, is the last of a round."""


@dataclass(frozen=True)
class Calibration:
    """What was learned.

    Args:
        steering: with the learned elements.
        information: Fisher's, of the element parameters with sources unknown, from the scenes alone.
        prior: its diagonal of what is believed before.
        num_used: scenes that were not left out.
    """

    steering: Steering
    information: Float[Tensor, "parameters parameters"]
    prior: Float[Tensor, " parameters"]
    num_used: int

    @property
    def array(self) -> LearnedArray:
        """The elements."""
        assert self.steering.response is not None
        return LearnedArray(self.steering.positions_m, self.steering.response.gains)

    def covariance(self) -> Float[Tensor, "parameters parameters"]:
        """Of the errors of log gain, phase, x and y of each element."""
        return torch.linalg.inv(self.information + torch.diag(self.prior))


class Calibrator:
    """Learns the elements of one surface.

    Args:
        localizer: of the surface as it is assumed.
    """

    def __init__(self, localizer: Localizer) -> None:
        self._localizer, self._nominal = localizer, localizer.steering
        self._spacing_m = localizer.surface.spacing_m

    def run(self, unlabelled: Sequence[Scenes], anchors: Sequence[Scenes] = ()) -> Calibration:
        """Elements from scenes whose ``uvq`` is looked for, and from ``anchors`` whose ``uvq`` is known."""
        steering = moved(self._nominal, torch.zeros(PER_ELEMENT * len(self._nominal.positions_m), dtype=torch.float64))
        known = _pieces(anchors)
        if known:  # alone they bring the gains near: the first search then finds more
            steering, _, _ = self._descended(steering, known, [_all(part) for part in known], False, steps=5)
        for count, are_free, steps in _ROUNDS:
            parts = self._located(steering, _first(unlabelled, count))
            kept = _explained(steering, self._localizer.sensing, parts)
            steering, step, parts = self._descended(
                steering, [*parts, *known], [*kept, *(_all(part) for part in known)], are_free, steps=steps
            )
        num_used = sum(int(item.sum()) for item in kept)
        return Calibration(steering, step.information, self._prior(are_free=True), num_used)

    def _located(self, steering: Steering, scenes: Sequence[Scenes]) -> list[Scenes]:
        search = GreedySearch(self._localizer.with_steering(steering))
        return [replace(part, uvq=search.run(part.data, num_sources=part.uvq.shape[1])) for part in _pieces(scenes)]

    def _descended(
        self, steering: Steering, parts: list[Scenes], kept: list[Tensor], are_free: bool, *, steps: int
    ) -> tuple[Steering, Step, list[Scenes]]:
        """The nearest maximum of the posterior by damped steps, none of which makes it less likely."""
        prior, sensing, load = self._prior(are_free=are_free), self._localizer.sensing, _DAMPING
        step = expanded(steering, sensing, parts, kept)
        cost = step.cost + self._disbelief(steering, prior)
        for _ in range(steps):
            move = self._move(step, steering, prior, load)
            tried = moved(steering, move)
            placed = self._followed(parts, step, move)
            found = expanded(tried, sensing, placed, kept)
            now = found.cost + self._disbelief(tried, prior)
            if now >= cost:
                load *= _STIFFEN
                continue
            saved, load = cost - now, load * _EASE
            steering, step, parts, cost = tried, found, placed, now
            if saved < _SETTLED:
                break
        return steering, step, parts

    def _move(self, step: Step, steering: Steering, prior: Tensor, load: float) -> Tensor:
        slope = step.slope - prior * parameters(steering, self._nominal)
        square = step.information + torch.diag(prior + load * step.information.diagonal())
        return torch.linalg.solve(square, slope)

    def _followed(self, parts: list[Scenes], step: Step, move: Tensor) -> list[Scenes]:
        """Sources of the scenes where they are free, after the elements have moved."""
        placed = []
        for part, back in zip(parts, step.back, strict=True):
            if back is None:
                placed.append(part)
                continue
            rest, carried = back
            uvq = part.uvq + (rest - carried @ move).reshape(part.uvq.shape)
            placed.append(replace(part, uvq=self._localizer.surface.clamp(uvq)))
        return placed

    def _prior(self, *, are_free: bool) -> Tensor:
        """Precision of every element parameter before any scene is seen."""
        place = 1.0 / (_PRIOR_SPACING * self._spacing_m) ** 2 if are_free else _FROZEN
        row = torch.tensor([1.0 / _PRIOR[0] ** 2, 1.0 / _PRIOR[1] ** 2, place, place], dtype=torch.float64)
        return row.repeat(len(self._nominal.positions_m))

    def _disbelief(self, steering: Steering, prior: Tensor) -> float:
        return 0.5 * float((prior * parameters(steering, self._nominal).square()).sum())


def _first(scenes: Sequence[Scenes], count: int | None) -> list[Scenes]:
    """About ``count`` scenes, as many of each part as its share."""
    total = sum(len(part.uvq) for part in scenes)
    share = 1.0 if count is None else min(1.0, count / total)
    few = [(part, math.ceil(share * len(part.uvq))) for part in scenes]
    return [replace(part, data=part.data[:n], uvq=part.uvq[:n], free=part.free[:n]) for part, n in few]


def _pieces(scenes: Sequence[Scenes]) -> list[Scenes]:
    """The same a few at a time."""
    return [
        replace(part, data=data, uvq=uvq, free=free)
        for part in scenes
        for data, uvq, free in zip(
            part.data.split(_CHUNK), part.uvq.split(_CHUNK), part.free.split(_CHUNK), strict=True
        )
    ]


def _all(part: Scenes) -> Tensor:
    return torch.ones(len(part.uvq), dtype=torch.bool)


def _explained(steering: Steering, sensing: Sensing, parts: list[Scenes]) -> list[Tensor]:
    """Which scenes of each part are explained about as well as most."""
    energies = expanded(steering, sensing, parts, [_all(part) for part in parts]).energy
    shares = [
        energy / torch.view_as_real(part.data).square().flatten(1).sum(dim=1)
        for energy, part in zip(energies, parts, strict=True)
    ]
    most = _OUTLIER * float(torch.cat(shares).median())
    return [share <= most for share in shares]
