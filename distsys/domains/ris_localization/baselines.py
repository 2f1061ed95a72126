"""Rows that the network must be seen beside: MUSIC, smoothed MUSIC, greedy maximum likelihood, oracle, bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.estimate import Estimate, Localizer, by_number, localizer, restored
from distsys.domains.ris_localization.evaluation import (
    condition_name,
    deviations_of,
    errors_of,
    middle_of,
    named,
    overall,
    present_in,
    true_columns,
)
from distsys.domains.ris_localization.geometry import Steering
from distsys.domains.ris_localization.likelihood import projected
from distsys.domains.ris_localization.metrics import bound_summary, summary
from distsys.domains.ris_localization.model import main_eigenvectors
from distsys.domains.ris_localization.music import Music, signal_subspace
from distsys.shapes import Float

_GREEDY_CHUNK = 16
_GREEDY_STEPS = 8
_SMOOTHING = 2
"""A smoothed covariance averages the windows of an array that is this much smaller along each side."""


def baseline_rows(data: DataConfig, batches: Sequence[Batch]) -> dict[str, dict[str, float]]:
    """Metrics of every baseline, by condition and over all of them.

    ``oracle`` is MUSIC on A A^H of the true sources, ``raw MUSIC`` on the sample covariance, both polished by
    maximum likelihood where a metric is not called ``music_...``; ``CRB`` holds what the bound allows.
    """
    rows: dict[str, dict[str, float]] = {}
    for batch in batches:
        for name, found in _rows_of(data, batch).items():
            rows.setdefault(name, {}).update(named(found, condition_name(batch)))
    return {name: {**overall(row), **row} for name, row in rows.items()}


def _rows_of(data: DataConfig, batch: Batch) -> dict[str, dict[str, float]]:
    tools, bound = localizer(data), deviations_of(data, batch)

    def row(uvq: Tensor, prefix: str = "") -> dict[str, float]:
        return {prefix + key: value for key, value in summary(errors_of(uvq, batch), bound).items()}

    raw, best = tools.raw(batch), oracle(data, batch)
    return {
        "raw MUSIC": {**row(raw.music, "music_"), **row(raw.polished)},
        "smoothed": row(smoothed_music(data, batch), "music_"),
        "greedy ML": row(greedy_ml(tools, batch)),
        "oracle": {**row(best.music, "music_"), **row(best.polished)},
        "constant": row(middle_of(data, batch)),
        "CRB": bound_summary(bound, present_in(batch)),
    }


def oracle(data: DataConfig, batch: Batch) -> Estimate:
    """MUSIC on the covariance of the true sources, A A^H: what a perfect network would give."""
    tools = localizer(data)
    return tools.estimate(true_columns(data, batch), batch)


def smoothed_music(data: DataConfig, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """MUSIC on the covariance averaged over sub-arrays (Shan, Wax and Kailath 1985).

    It decorrelates coherent sources where wavefronts are plane; near by, the windows see different waves.
    """
    surface = data.surface()
    small = replace(surface, num_x=max(2, data.num_x - _SMOOTHING), num_y=max(2, data.num_y - _SMOOTHING))
    field = data.sensing().back_projected(batch["snapshots"])
    square = field.reshape(len(field), data.num_x, data.num_y, -1)
    windows = square.unfold(1, small.num_x, 1).unfold(2, small.num_y, 1)  # [scenes, i, j, snapshots, x, y]
    seen = windows.permute(0, 4, 5, 1, 2, 3).reshape(len(field), small.num_elements, -1)
    factors, _ = main_eigenvectors(seen, rank=data.max_sources)
    music = Music(small, Steering.of(small, data.steering))

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        found, _ = music.candidates(signal_subspace(factors[rows], num_sources=number), count=2 * number)
        return (torch.nn.functional.pad(found[:, :number], (0, 0, 0, data.max_sources - number)),)

    return restored(batch["num_sources"], by_number(batch["num_sources"], solve))[0]


def greedy_ml(tools: Localizer, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """One source after the other where it explains most of what is left, all moved together after each.

    With coded measurements this is nonlinear least squares from a grid. Source: Ziskind and Wax 1988.
    """
    most = batch["uvq"].shape[1]
    search = GreedySearch(tools)

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        data = tools.grouped(batch["snapshots"][rows])
        found = torch.cat([search.run(piece, num_sources=number) for piece in data.split(_GREEDY_CHUNK)])
        return (torch.nn.functional.pad(found, (0, 0, 0, most - number)),)

    return restored(batch["num_sources"], by_number(batch["num_sources"], solve))[0]


class GreedySearch:
    """The grid as the receiver sees it, through every measurement matrix."""

    def __init__(self, tools: Localizer) -> None:
        self._tools = tools
        points = tools.music.grid.points
        allowed = ~tools.music.grid.outside.flatten()
        self._points = points[allowed]
        seen = tools.sensing.apply(tools.steering.vectors(self._points)[None])[0]
        self._seen = seen.to(torch.complex64)  # [groups, channels, points]

    def run(self, data: Tensor, *, num_sources: int) -> Float[Tensor, "scenes sources 3"]:
        """Sources of ``data`` [scenes, groups, channels, shots]."""
        likelihood = self._tools.likelihood
        uvq = torch.zeros(len(data), 0, 3, dtype=torch.float64, device=data.device)
        for _ in range(num_sources):
            uvq = torch.cat([uvq, self._next(uvq, data)[:, None]], dim=1)
            uvq = likelihood.polish(uvq, data, steps=_GREEDY_STEPS)
        return likelihood.polish(uvq, data)

    def _next(self, uvq: Tensor, data: Tensor) -> Tensor:
        """The grid point that lowers the cost most beside the sources ``uvq``."""
        seen = self._seen.to(data.device)
        left, lost = data, torch.zeros((), device=data.device)
        if uvq.shape[1]:
            columns = self._tools.sensing.apply(self._tools.steering.vectors(uvq))
            left = projected(columns, data)[1]
            basis = torch.linalg.qr(columns).Q.to(torch.complex64)
            lost = torch.view_as_real(seen.mH @ basis).square().sum(dim=(-2, -1))
        gain = torch.view_as_real(seen.mH @ left.to(torch.complex64)).square().sum(dim=(-2, -1))
        size = torch.view_as_real(seen).square().sum(dim=(1, 3))
        score = (gain / (size - lost).clamp(min=1e-3 * float(size.mean()))).sum(dim=1)
        return self._points.to(data.device)[score.argmax(dim=1)]
