"""Metrics of the errors of estimated sources: what is found, how far off it is, beside the bound."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.domains.ris_localization.score.errors import Errors
from distsys.shapes import Float

_SUCCESS_RANGE_SHARE = 0.10
_NORMAL_MEDIAN = 0.674489750
"""Median of |z| for a standard normal z."""


def summary(errors: Errors, deviations: Float[Tensor, "scenes sources 3"]) -> dict[str, float]:
    """Every metric of one set of estimates.

    ``success`` is the share of sources found. RMSEs of phi, theta and r are over sources found, because one
    outlier outweighs hundreds of good estimates; ``outlier_rate`` and ``position_rmse_m`` hold the others.

    Args:
        deviations: Cramer-Rao bounds of phi in rad, theta in rad and r in m.
    """
    here, found = errors.present, errors.found & errors.present
    values: dict[str, float] = {
        "success": _mean(errors.found[here]),
        "scene_success": _mean((errors.found | ~here).all(dim=1)),
        "within_10_percent": _mean(
            (~errors.lost & (errors.range_m.abs() <= _SUCCESS_RANGE_SHARE * errors.true_range_m))[here]
        ),
        "outlier_rate": _mean(errors.lost[here]),
        "position_error_m": _mean(errors.scene_position_m()),
        "position_rmse_m": _rms(errors.position_m[here]),
        "crb_ratio": crb_ratio(errors, deviations),
    }
    for name, part in (("phi", errors.phi_deg), ("theta", errors.theta_deg), ("range", errors.range_m)):
        unit = "m" if name == "range" else "deg"
        values[f"{name}_rmse_{unit}"] = _rms(part[found])
        values[f"{name}_median_{unit}"] = _median(part[here].abs())
    return values


def success(errors: Errors) -> float:
    """Share of sources found."""
    return float(errors.found[errors.present].double().mean())


def crb_ratio(errors: Errors, deviations: Float[Tensor, "scenes sources 3"]) -> float:
    """Median of |error| / bound over phi, theta and r of all sources, over that of a normal: 1 at the bound."""
    in_bounds = torch.stack(
        [errors.phi_deg.deg2rad(), errors.theta_deg.deg2rad(), errors.range_m], dim=-1
    ) / deviations.clamp(min=1e-12)
    return _median(in_bounds[errors.present].abs().flatten()) / _NORMAL_MEDIAN


def bound_summary(deviations: Float[Tensor, "scenes sources 3"], present: Tensor) -> dict[str, float]:
    """What an estimator at the bound would show: root mean square deviations, and medians."""
    degrees = torch.stack([deviations[..., 0].rad2deg(), deviations[..., 1].rad2deg(), deviations[..., 2]], dim=-1)
    row = {"crb_ratio": 1.0}
    for index, name in enumerate(("phi_rmse_deg", "theta_rmse_deg", "range_rmse_m")):
        row[name] = _rms(degrees[..., index][present])
        row[name.replace("rmse", "median")] = _NORMAL_MEDIAN * _median(degrees[..., index][present])
    return row


def _mean(values: Tensor) -> float:
    return float(values.double().mean()) if values.numel() else math.nan


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt()) if values.numel() else math.nan


def _median(values: Tensor) -> float:
    return float(values.double().quantile(0.5)) if values.numel() else math.nan
