"""Greedy maximum likelihood from a grid, which needs no network and no peaks of a spectrum."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.model.grouping import by_number, padded
from distsys.domains.ris_localization.model.likelihood import projected
from distsys.domains.ris_localization.model.localizer import Localizer
from distsys.shapes import Float

_CHUNK, _STEPS = 16, 8


def greedy_ml(localizer: Localizer, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """One source after the other where it explains most of what is left, all moved together after each.

    With coded measurements this is nonlinear least squares from a grid. Source: Ziskind and Wax 1988.
    """
    search = GreedySearch(localizer)

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        data = localizer.grouped(batch["snapshots"][rows])
        found = torch.cat([search.run(piece, num_sources=number) for piece in data.split(_CHUNK)])
        return (padded(found, max_sources=localizer.max_sources),)

    return by_number(batch["num_sources"], solve)[0]


class GreedySearch:
    """The grid as the receiver sees it, through every measurement matrix, and the search on it."""

    def __init__(self, localizer: Localizer) -> None:
        self._localizer = localizer
        points = localizer.music.grid.points
        allowed = ~localizer.music.grid.outside.flatten()
        self._points = points[allowed]
        received = localizer.sensing.apply(localizer.steering.vectors(self._points)[None])[0]
        self._received = received.to(torch.complex64)  # [groups, channels, points]

    def run(self, data: Tensor, *, num_sources: int) -> Float[Tensor, "scenes sources 3"]:
        """Sources of ``data`` [scenes, groups, channels, shots]."""
        *_, uvq = self.steps(data, num_sources=num_sources)
        return self._localizer.likelihood.polish(uvq, data)

    def steps(self, data: Tensor, *, num_sources: int) -> Iterator[Float[Tensor, "scenes any 3"]]:
        """The first source, the first two and so on, up to ``num_sources``."""
        uvq = torch.zeros(len(data), 0, 3, dtype=torch.float64, device=data.device)
        for _ in range(num_sources):
            uvq = torch.cat([uvq, self._next(uvq, data)[:, None]], dim=1)
            uvq = self._localizer.likelihood.polish(uvq, data, steps=_STEPS)
            yield uvq

    def _next(self, uvq: Tensor, data: Tensor) -> Tensor:
        """The grid point that lowers the cost most beside the sources ``uvq``."""
        received = self._received.to(data.device)
        residual, lost = data, torch.zeros((), device=data.device)
        if uvq.shape[1]:
            columns = self._localizer.sensing.apply(self._localizer.steering.vectors(uvq))
            residual = projected(columns, data)[1]
            basis = torch.linalg.qr(columns).Q.to(torch.complex64)
            lost = torch.view_as_real(received.mH @ basis).square().sum(dim=(-2, -1))
        gain = torch.view_as_real(received.mH @ residual.to(torch.complex64)).square().sum(dim=(-2, -1))
        size = torch.view_as_real(received).square().sum(dim=(1, 3))
        score = (gain / (size - lost).clamp(min=1e-3 * float(size.mean()))).sum(dim=1)
        return self._points.to(data.device)[score.argmax(dim=1)]
