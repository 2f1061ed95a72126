"""Rows that the network must be seen beside: MUSIC, smoothed MUSIC, greedy maximum likelihood, oracle, bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from torch import Tensor

from distsys.domains.kit import Lazily, named
from distsys.domains.protocol import Baseline, Batch, DataBundle, EvalSet, Kind
from distsys.domains.ris_localization.config import Config, DataConfig, Imperfections
from distsys.domains.ris_localization.data.conditions import condition_name
from distsys.domains.ris_localization.data.geometry import surface_of
from distsys.domains.ris_localization.data.sensing import sensing_of
from distsys.domains.ris_localization.data.site import true_site
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.data.truth import present_in, true_columns
from distsys.domains.ris_localization.model.greedy import greedy_ml
from distsys.domains.ris_localization.model.grouping import by_number, padded
from distsys.domains.ris_localization.model.localizer import Estimate, Localizer, localizer_of
from distsys.domains.ris_localization.model.music import Music
from distsys.domains.ris_localization.model.order import order_by_eigenvalues, order_by_likelihood
from distsys.domains.ris_localization.model.subspace import main_eigenvectors, signal_subspace
from distsys.domains.ris_localization.score.errors import errors_of
from distsys.domains.ris_localization.score.evaluation import middle_of, overall
from distsys.domains.ris_localization.score.frozen import deviations
from distsys.domains.ris_localization.score.gospa import gospa_m
from distsys.domains.ris_localization.score.imperfect_bound import misspecified_of, uncertain_of
from distsys.domains.ris_localization.score.metrics import bound_summary, summary
from distsys.shapes import Float

Row = Callable[[DataConfig, Batch, Tensor], dict[str, float]]
"""Metrics on the scenes of one batch, given the Cramer-Rao deviations there."""
_SMOOTHING = 2
"""A smoothed covariance averages the windows of an array that is this much smaller along each side."""


def baselines(config: Config, bundle: DataBundle, data: EvalSet) -> dict[str, Baseline]:
    """Metrics of every baseline on ``data``, by condition and over all of them.

    ``oracle`` is MUSIC on A A^H of the true sources, ``raw MUSIC`` on the sample covariance, both polished by
    maximum likelihood where a metric is not called ``music_...``; ``CRB`` holds what the bound allows. With
    ``data.imperfections`` there are bounds of who knows their spread alone (``CRB, uncertain array``) and of who trusts
    the array that is assumed (``MCRB``), and likelihood that knows the array. Where the number of sources varies,
    ``order_accuracy`` is the share of scenes in which it is found, and ``gospa_m`` counts sources missed or invented.
    """
    rows: dict[str, tuple[Kind, Row]] = {
        "raw MUSIC": ("peer", _raw),
        "smoothed": ("peer", _smoothed),
        "greedy ML": ("peer", _greedy),
        "oracle": ("bound", _oracle),
        "constant": ("trivial", _constant),
        "CRB": ("bound", _bound),
    }
    if config.data.imperfections != Imperfections():
        rows |= {
            "greedy ML, true array": ("bound", _greedy_that_knows),
            "CRB, uncertain array": ("bound", _uncertain),
            "MCRB": ("bound", _misspecified),
        }
    if config.data.min_sources < config.data.max_sources:
        rows |= {
            "greedy ML, unknown number": ("peer", _greedy_that_counts),
            "MDL": ("peer", partial(_eigenvalues, rule="mdl")),
            "AIC": ("peer", partial(_eigenvalues, rule="aic")),
        }
    return {name: Baseline(kind, Lazily(partial(_over, config.data, data, row))) for name, (kind, row) in rows.items()}


def _over(data: DataConfig, frozen: EvalSet, row: Row) -> dict[str, float]:
    found: dict[str, float] = {}
    for batch, bound in zip(frozen.batches, deviations(data, frozen), strict=True):
        found |= named(row(data, batch, bound), condition_name(batch))
    return {**overall(found), **found}


def _summary(uvq: Tensor, batch: Batch, bound: Tensor, prefix: str = "") -> dict[str, float]:
    return {prefix + key: value for key, value in summary(errors_of(uvq, batch), bound).items()}


def _both(found: Estimate, batch: Batch, bound: Tensor) -> dict[str, float]:
    return {**_summary(found.music, batch, bound, "music_"), **_summary(found.polished, batch, bound)}


def _raw(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    return _both(localizer_of(data).raw(batch), batch, bound)


def _smoothed(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    return _summary(smoothed_music(data, batch), batch, bound, "music_")


def _greedy(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    return _summary(greedy_ml(localizer_of(data), batch), batch, bound)


def _oracle(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    return _both(oracle(data, batch), batch, bound)


def _constant(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    """Nothing is left to polish in it: under both names, so that it can be compared by what selects."""
    found = _summary(middle_of(data, batch), batch, bound)
    return {"music_position_error_m": found["position_error_m"], **found}


def _bound(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    return bound_summary(bound, present_in(batch))


def _greedy_that_knows(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    site, assumed = true_site(data), localizer_of(data)
    truth = Localizer(assumed.surface, site.steering, site.sensing, max_sources=data.max_sources)
    return _summary(greedy_ml(truth, batch), batch, bound)


def _uncertain(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    return _allowed(uncertain_of(data, batch), batch)


def _misspecified(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    return _allowed(misspecified_of(data, batch).rms, batch)


def _greedy_that_counts(data: DataConfig, batch: Batch, bound: Tensor) -> dict[str, float]:
    found = order_by_likelihood(
        localizer_of(data), batch["snapshots"], most=data.max_sources + 1, num_snapshots=batch["num_snapshots"]
    )
    distance = gospa_m(found.uvq, found.num_sources, true_uvq=batch["uvq"], num_sources=batch["num_sources"])
    return {"order_accuracy": _accuracy(found.num_sources, batch), "gospa_m": float(distance.mean())}


def _eigenvalues(data: DataConfig, batch: Batch, bound: Tensor, *, rule: Literal["mdl", "aic"]) -> dict[str, float]:
    taken = batch["snapshots"][:, :, : int(batch["num_snapshots"][0])]
    return {"order_accuracy": _accuracy(order_by_eigenvalues(taken, most=data.max_sources + 1, rule=rule), batch)}


def _accuracy(number: Tensor, batch: Batch) -> float:
    return float((number == batch["num_sources"]).double().mean())


def _allowed(deviations: Tensor, batch: Batch) -> dict[str, float]:
    found = bound_summary(deviations, present_in(batch))
    return {name: value for name, value in found.items() if name != "crb_ratio"}


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
