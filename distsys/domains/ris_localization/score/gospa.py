"""How far a set of estimated sources is from the set of true ones, where both may have other sizes."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from distsys.domains.ris_localization.data.geometry import cartesian_m, to_physical
from distsys.shapes import Float, Int

CUTOFF_M = 1.0
"""A source that is further off is one that was missed and one that was invented."""


def gospa_m(
    uvq: Float[Tensor, "scenes estimates 3"],
    num_estimates: Int[Tensor, " scenes"],
    *,
    true_uvq: Float[Tensor, "scenes sources 3"],
    num_sources: Int[Tensor, " scenes"],
    cutoff_m: float = CUTOFF_M,
) -> Float[Tensor, " scenes"]:
    """Generalised optimal sub-pattern assignment, p = 2, alpha = 2: the root of squared distances of those assigned
    plus half the squared cutoff for each that was missed or invented.

    Shape: [scenes, estimates, 3], [scenes], [scenes, sources, 3], [scenes] -> [scenes].
    Unit: m.
    Range: >= 0, 0 for equal sets; each source missed or invented adds cutoff^2 / 2 under the root.
    Invariant to: the order of both sets.
    Source: Rahmathullah, Garcia-Fernandez and Svensson 2017.
    """
    found, truth = (cartesian_m(to_physical(item.double().cpu())) for item in (uvq, true_uvq))
    values = []
    for scene, (many, there) in enumerate(zip(num_estimates.tolist(), num_sources.tolist(), strict=True)):
        distance = torch.cdist(found[scene, :many][None], truth[scene, :there][None])[0]
        squares = distance.square().clamp(max=cutoff_m**2).nan_to_num(nan=cutoff_m**2).numpy()
        rows, columns = linear_sum_assignment(squares)
        values.append(float(squares[rows, columns].sum()) + 0.5 * cutoff_m**2 * abs(many - there))
    return torch.tensor(values, dtype=torch.float64).sqrt()
