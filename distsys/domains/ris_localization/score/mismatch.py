"""What it costs to assume a simpler wave than the one that arrives."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import SteeringModel
from distsys.domains.ris_localization.data.geometry import Surface, from_physical, to_physical
from distsys.domains.ris_localization.data.sensing import Sensing
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.likelihood import Likelihood
from distsys.shapes import Float

_NUM_RANGES, _NUM_ANGLES = 12, 7


def steering_bias(
    surface: Surface, assumed: SteeringModel
) -> tuple[Float[Tensor, " ranges"], Float[Tensor, "ranges 2"]]:
    """Median errors of angle in deg and range in m when exact waves are read as ``assumed``, without noise.

    One source, maximum likelihood from the truth, over directions that fill the region.

    Returns:
        Ranges in m, and the two errors at each.
    """
    ends = math.log10(surface.min_range_m), math.log10(surface.max_range_m)
    ranges_m = torch.logspace(*ends, _NUM_RANGES, dtype=torch.float64)
    phi = torch.linspace(-0.9, 0.9, _NUM_ANGLES, dtype=torch.float64) * surface.max_phi_rad
    theta = torch.linspace(-0.9, 0.9, _NUM_ANGLES, dtype=torch.float64) * surface.max_theta_rad
    place = torch.cartesian_prod(ranges_m, phi, theta)[:, [1, 2, 0]]
    truth = from_physical(place)[:, None]
    snapshots = Sensing().apply(Steering.of(surface).vectors(truth))
    wide = replace(surface, max_range_m=10.0 * surface.max_range_m)  # an edge would hide the bias of the last ranges
    found = Likelihood(Steering.of(surface, assumed), Sensing(), wide).polish(truth, snapshots, steps=40)
    error = (to_physical(found) - to_physical(truth))[:, 0].abs().reshape(_NUM_RANGES, -1, 3)
    angle = error[..., :2].rad2deg().amax(dim=-1).median(dim=1).values
    return ranges_m, torch.stack([angle, error[..., 2].median(dim=1).values], dim=1)
