"""Rows that the network must be seen beside: MUSIC, smoothed MUSIC, greedy maximum likelihood, oracle, bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from distsys.domains.kit import named
from distsys.domains.protocol import Baseline, Batch, DataBundle, EvalSet, Kind
from distsys.domains.ris_localization.config import Config, DataConfig
from distsys.domains.ris_localization.data.conditions import condition_name
from distsys.domains.ris_localization.data.geometry import surface_of
from distsys.domains.ris_localization.data.sensing import sensing_of
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.data.truth import present_in, true_columns
from distsys.domains.ris_localization.model.grouping import by_number, padded
from distsys.domains.ris_localization.model.localizer import Estimate, localizer_of
from distsys.domains.ris_localization.model.music import Music
from distsys.domains.ris_localization.model.subspace import main_eigenvectors, signal_subspace
from distsys.domains.ris_localization.score.errors import errors_of
from distsys.domains.ris_localization.score.evaluation import middle_of, overall
from distsys.domains.ris_localization.score.frozen import deviations
from distsys.domains.ris_localization.score.greedy import greedy_ml
from distsys.domains.ris_localization.score.metrics import bound_summary, summary
from distsys.shapes import Float

_KINDS: Mapping[str, Kind] = {
    "raw MUSIC": "peer",
    "smoothed": "peer",
    "greedy ML": "peer",
    "oracle": "bound",
    "constant": "trivial",
    "CRB": "bound",
}
_SMOOTHING = 2
"""A smoothed covariance averages the windows of an array that is this much smaller along each side."""


def baselines(config: Config, bundle: DataBundle, data: EvalSet) -> dict[str, Baseline]:
    """Metrics of every baseline on ``data``, by condition and over all of them.

    ``oracle`` is MUSIC on A A^H of the true sources, ``raw MUSIC`` on the sample covariance, both polished by
    maximum likelihood where a metric is not called ``music_...``; ``CRB`` holds what the bound allows.
    """
    rows: dict[str, dict[str, float]] = {name: {} for name in _KINDS}
    for batch, bound in zip(data.batches, deviations(config.data, data), strict=True):
        for name, found in _rows_of(config.data, batch, bound).items():
            rows[name] |= named(found, condition_name(batch))
    return {name: Baseline(_KINDS[name], {**overall(row), **row}) for name, row in rows.items()}


def _rows_of(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, dict[str, float]]:
    localizer = localizer_of(data)

    def row(uvq: Tensor, prefix: str = "") -> dict[str, float]:
        return {prefix + key: value for key, value in summary(errors_of(uvq, batch), bound).items()}

    raw, best, constant = localizer.raw(batch), oracle(data, batch), row(middle_of(data, batch))
    return {
        "raw MUSIC": {**row(raw.music, "music_"), **row(raw.polished)},
        "smoothed": row(smoothed_music(data, batch), "music_"),
        "greedy ML": row(greedy_ml(localizer, batch)),
        "oracle": {**row(best.music, "music_"), **row(best.polished)},
        # Nothing is left to polish in it: under both names, so that it can be compared by what selects.
        "constant": {"music_position_error_m": constant["position_error_m"], **constant},
        "CRB": bound_summary(bound, present_in(batch)),
    }


def oracle(data: DataConfig, batch: Batch) -> Estimate:
    """MUSIC on the covariance of the true sources, A A^H: what a perfect network would give."""
    return localizer_of(data).estimate(true_columns(data, batch), batch)


def smoothed_music(data: DataConfig, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """MUSIC on the covariance averaged over sub-arrays (Shan, Wax and Kailath 1985).

    It decorrelates coherent sources where wavefronts are plane; near by, the windows see different waves.
    """
    surface = surface_of(data)
    small = replace(surface, num_x=max(2, data.num_x - _SMOOTHING), num_y=max(2, data.num_y - _SMOOTHING))
    field = sensing_of(data).back_projected(batch["snapshots"])
    square = field.reshape(len(field), data.num_x, data.num_y, -1)
    windows = square.unfold(1, small.num_x, 1).unfold(2, small.num_y, 1)  # [scenes, i, j, snapshots, x, y]
    views = windows.permute(0, 4, 5, 1, 2, 3).reshape(len(field), small.num_elements, -1)
    factors, _ = main_eigenvectors(views, rank=data.max_sources)
    music = Music(small, Steering.of(small, data.steering))

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        found, _ = music.candidates(signal_subspace(factors[rows], num_sources=number), count=2 * number)
        return (padded(found[:, :number], max_sources=data.max_sources),)

    return by_number(batch["num_sources"], solve)[0]
