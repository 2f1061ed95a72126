"""How far estimated sources are from the true ones: matched, in degrees and metres."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.data.geometry import cartesian_m, to_physical
from distsys.domains.ris_localization.data.truth import present_in
from distsys.shapes import Bool, Float

SUCCESS_ANGLE_DEG, SUCCESS_RANGE_M = 5.0, 1.0


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


def errors_of(uvq: Float[Tensor, "scenes sources 3"], batch: Batch) -> Errors:
    """Errors of ``uvq`` against the scenes of ``batch``."""
    present = present_in(batch)
    far = torch.tensor([0.0, 0.0, 1e-3], device=batch["uvq"].device)  # for absent sources, instead of 1/r = 0
    return matched_errors(uvq, true_uvq=torch.where(present[..., None], batch["uvq"], far), present=present)
