"""How far estimated sources are from the true ones: matched, in degrees and metres, beside the bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from distsys.domains.ris_localization.geometry import cartesian_m, to_physical
from distsys.shapes import Bool, Float

SUCCESS_ANGLE_DEG, SUCCESS_RANGE_M, SUCCESS_RANGE_SHARE = 5.0, 1.0, 0.10
_NORMAL_MEDIAN = 0.674489750
"""Median of |z| for a standard normal z."""


@dataclass(frozen=True)
class Errors:
    """Errors of matched sources.

    Args:
        phi_deg, theta_deg, range_m: signed, [scenes, sources].
        position_m: distance, [scenes, sources].
        true_range_m: [scenes, sources].
        present: which sources exist, [scenes, sources].
    """

    phi_deg: Tensor
    theta_deg: Tensor
    range_m: Tensor
    position_m: Tensor
    true_range_m: Tensor
    present: Tensor

    @property
    def found(self) -> Bool[Tensor, "scenes sources"]:
        """Sources within 5 deg, 5 deg and 1 m."""
        return ~self.lost & (self.range_m.abs() <= SUCCESS_RANGE_M)

    @property
    def lost(self) -> Bool[Tensor, "scenes sources"]:
        """Sources whose direction is wrong by more than 5 deg: outliers."""
        return ~(torch.maximum(self.phi_deg.abs(), self.theta_deg.abs()) <= SUCCESS_ANGLE_DEG)  # NaN is lost too

    def scene_position_m(self) -> Float[Tensor, " scenes"]:
        """Mean distance over the sources of each scene."""
        return (self.position_m * self.present).sum(dim=1) / self.present.sum(dim=1)

    def only(self, chosen: Bool[Tensor, "scenes sources"]) -> Errors:
        """The same with other sources taken for absent."""
        return Errors(
            self.phi_deg, self.theta_deg, self.range_m, self.position_m, self.true_range_m, self.present & chosen
        )


def matched_errors(
    uvq: Float[Tensor, "scenes sources 3"],
    *,
    true_uvq: Float[Tensor, "scenes sources 3"],
    present: Bool[Tensor, "scenes sources"],
) -> Errors:
    """Errors after the assignment of least total distance (Hungarian; with three sources all orders are tried)."""
    estimate, truth = (to_physical(item.double()) for item in (uvq, true_uvq))
    distance = (cartesian_m(estimate)[:, :, None] - cartesian_m(truth)[:, None]).norm(dim=-1)
    # Absent sources match absent estimates, which are both last, at no cost; a mixed pair is never worth it.
    pair = present[:, :, None] & present[:, None, :]
    mixed = present[:, :, None] ^ present[:, None, :]
    cost = torch.where(pair, distance, 0.0) + torch.where(mixed, 1e12, 0.0)
    num = truth.shape[1]
    orders = torch.tensor(list(permutations(range(num))), device=cost.device)
    totals = cost[:, orders, torch.arange(num, device=cost.device)].sum(dim=-1)
    order = orders[totals.argmin(dim=1)]
    difference = estimate.gather(1, order[..., None].expand(-1, -1, 3)) - truth
    return Errors(
        phi_deg=difference[..., 0].rad2deg(),
        theta_deg=difference[..., 1].rad2deg(),
        range_m=difference[..., 2],
        position_m=distance.gather(1, order[:, None])[:, 0],
        true_range_m=truth[..., 2],
        present=present,
    )


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
            (~errors.lost & (errors.range_m.abs() <= SUCCESS_RANGE_SHARE * errors.true_range_m))[here]
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
