"""All metrics of one model on frozen scenes, by condition and by range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from distsys.domains.kit import named
from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.conditions import condition_name, is_coherent
from distsys.domains.ris_localization.model.localizer import localizer_of
from distsys.domains.ris_localization.model.network import CovarianceNet, predict_factors
from distsys.domains.ris_localization.score.errors import Errors, errors_of
from distsys.domains.ris_localization.score.frozen import deviations, raw_peaks
from distsys.domains.ris_localization.score.metrics import crb_ratio, success, summary
from distsys.shapes import Complex, Float

_MUSIC_METRICS = ("success", "position_error_m", "phi_rmse_deg", "theta_rmse_deg")
_OVERALL = ("music_position_error_m", "position_error_m", "success")
"""Metrics that are also given over all conditions together."""
_RANGE_EDGES_M = (2.0, 5.0)


@dataclass(frozen=True)
class ConditionResult:
    """One model on the scenes of one condition.

    Args:
        factors: of the learned covariances, [scenes, elements, columns]; 0 where the model gave no finite one.
        eigenvalue_ratio: of each scene with two sources or more.
        music, polished: errors of both estimates; ``raw`` those of MUSIC without a network.
        bound: Cramer-Rao deviations, [scenes, sources, 3].
    """

    batch: Batch
    factors: Tensor
    eigenvalue_ratio: Tensor
    music: Errors
    polished: Errors
    raw: Errors
    bound: Tensor

    @property
    def name(self) -> str:
        """Such as snr10."""
        return condition_name(self.batch)

    @property
    def is_coherent(self) -> bool:
        return is_coherent(self.batch)

    @property
    def num_snapshots(self) -> int:
        return int(self.batch["num_snapshots"][0])

    @property
    def snr_db(self) -> float:
        return float(self.batch["snr_db"][0])

    def metrics(self, data: DataConfig) -> dict[str, float]:
        """By name and condition; ``music_...`` before maximum likelihood has polished."""
        constant = float(errors_of(middle_of(data, self.batch), self.batch).scene_position_m().mean())
        row = summary(self.polished, self.bound)
        row["skill"] = 1.0 - row["position_error_m"] / constant
        music = summary(self.music, self.bound)
        row |= {f"music_{name}": music[name] for name in _MUSIC_METRICS}
        return named(row, self.name)


@dataclass(frozen=True)
class Found:
    """What an evaluation found, for figures: a result for each condition."""

    conditions: Sequence[ConditionResult]


def evaluate(model: CovarianceNet, data: EvalSet) -> Evaluation:
    """Metrics of MUSIC on the model's covariance (``music_...``) and of maximum likelihood.

    The likelihood starts from those peaks of the model's and of the sample covariance that explain the
    snapshots best, so that where MUSIC needs no network nothing is lost by one.
    """
    settings = model.config.data
    parts = zip(data.batches, raw_peaks(settings, data), deviations(settings, data), strict=True)
    results = [_result(model, batch, raw_uvq, bound) for batch, raw_uvq, bound in parts]
    items = torch.cat([result.music.scene_position_m() for result in results])
    found: dict[str, float] = {}
    for result in results:
        found |= result.metrics(settings)
    health = _health([result for result in results if result.is_coherent])
    metrics = {**overall(found), **health, **found, **_by_range(results)}
    return Evaluation(metrics, items.cpu().numpy(), Found(results))


def overall(found: Mapping[str, float]) -> dict[str, float]:
    """Means over the conditions, which have equally many scenes."""
    means = {}
    for name in _OVERALL:
        values = [value for key, value in found.items() if key.startswith(f"{name}/")]
        if values:
            means[name] = float(np.mean(values))
    return means


def _result(model: CovarianceNet, batch: Batch, raw_uvq: Tensor, bound: Tensor) -> ConditionResult:
    """Both estimates of every scene of ``batch``, with their errors; NaN where the model gave no finite covariance."""
    factors = predict_factors(model, batch)
    broken = ~torch.isfinite(torch.view_as_real(factors)).all(dim=(1, 2, 3))
    factors = factors.masked_fill(broken[:, None, None], 0.0)  # LAPACK refuses NaN; what follows becomes NaN again
    estimate = localizer_of(model.config.data).estimate(factors, batch, others=raw_uvq)
    found = (item.masked_fill(broken[:, None, None], torch.nan) for item in (estimate.music, estimate.polished))
    ratio = eigenvalue_ratio(factors, batch["num_sources"]).masked_fill(broken[batch["num_sources"] > 1], torch.nan)
    music, polished, raw = (errors_of(uvq, batch) for uvq in (*found, raw_uvq))
    return ConditionResult(batch, factors, ratio, music, polished, raw, bound)


def _health(coherent: Sequence[ConditionResult]) -> dict[str, float]:
    """What the constraints judge, on coherent scenes: rank, and success beside MUSIC without the network."""
    gains = [success(result.music) - success(result.raw) for result in coherent]
    ratios = torch.cat([result.eigenvalue_ratio for result in coherent])
    return {
        # One source has no second eigenvalue to lose.
        "eigenvalue_ratio": float(ratios.median()) if len(ratios) else 1.0,
        "success_over_raw_music": float(np.mean(gains)),
    }


def middle_of(data: DataConfig, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """The answer that is always the middle of the region."""
    middle = torch.tensor([0.0, 0.0, 2.0 / (data.min_range_m + data.max_range_m)], device=batch["uvq"].device)
    return middle.expand_as(batch["uvq"])


def eigenvalue_ratio(factors: Complex[Tensor, "scenes elements rank"], num_sources: Tensor) -> Float[Tensor, " any"]:
    """lambda_K / lambda_1 of F F^H for scenes of two sources or more; near 0 the rank has collapsed."""
    values = torch.linalg.eigvalsh(factors.mH @ factors).flip(1)
    several = num_sources > 1
    last = values.gather(1, (num_sources - 1)[:, None])[:, 0]
    return (last / values[:, 0].clamp(min=1e-30))[several]


def _by_range(results: Sequence[ConditionResult]) -> dict[str, float]:
    """Success and ratio to the bound of polished estimates over all conditions, by the sources' true range."""
    errors = [result.polished for result in results]
    whole = Errors(*(torch.cat([getattr(item, part.name) for item in errors]) for part in fields(Errors)))
    bound = torch.cat([result.bound for result in results])
    found: dict[str, float] = {}
    for low, high in zip((0.0, *_RANGE_EDGES_M), (*_RANGE_EDGES_M, np.inf), strict=True):
        part = whole.only((whole.true_range_m >= low) & (whole.true_range_m < high))
        name = f"range_{low:g}_{high:g}m" if np.isfinite(high) else f"range_{low:g}m_up"
        if bool(part.present.any()):
            found |= {f"success/{name}": success(part), f"crb_ratio/{name}": crb_ratio(part, bound)}
    return found
