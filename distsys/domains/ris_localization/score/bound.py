"""The deterministic Cramer-Rao bound of near-field sources.

Source: Stoica and Nehorai, MUSIC, maximum likelihood and Cramer-Rao bound, 1989; near field:
Begriche et al., arXiv 1303.1725.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.sensing import Sensing
from distsys.domains.ris_localization.data.site import true_site
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.grouping import by_number, padded
from distsys.domains.ris_localization.model.likelihood import normal_equations
from distsys.shapes import Complex, Float

_SINGULAR = 1e-8


def crb_deviations(
    uvq: Float[Tensor, "scenes sources 3"],
    amplitudes: Complex[Tensor, "scenes groups sources shots"],
    *,
    noise_variance: Float[Tensor, " scenes"],
    steering: Steering,
    sensing: Sensing,
) -> Float[Tensor, "scenes sources 3"]:
    """Least standard deviations of (phi in rad, theta in rad, r in m) of any unbiased estimator.

    Infinite for a scene whose snapshots do not tell, such as one with a source without power.

    Args:
        amplitudes: of the unit-norm steering vectors.
        noise_variance: E|n|^2 of a channel.
    """
    vectors, derivatives = steering.with_derivatives(uvq)
    columns = sensing.apply(vectors)
    residual = columns.new_zeros(*columns.shape[:3], amplitudes.shape[-1])
    _, curvature = normal_equations(columns, sensing.apply(derivatives), amplitudes, residual)
    inverse, is_known = inverse_of(curvature)
    covariance = noise_variance[:, None, None] / 2.0 * inverse
    jacobian = physical_slopes(uvq)
    blocks = torch.stack([covariance[:, 3 * k : 3 * k + 3, 3 * k : 3 * k + 3] for k in range(uvq.shape[1])], dim=1)
    physical = jacobian @ blocks @ jacobian.mT
    variances = physical.diagonal(dim1=-2, dim2=-1)
    return variances.where(is_known[:, None, None], torch.inf).sqrt()


def deviations_of(data: DataConfig, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """The same for the scenes of ``batch``, under their own wave and array; 1 for absent sources."""
    site = true_site(data)
    steering, sensing = site.steering, site.whitened()

    is_coded = data.measurement == "coded"

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        found = crb_deviations(
            batch["uvq"][rows, :number].double(),
            grouped_amplitudes(batch["amplitudes"][rows, :number], is_coded=is_coded),
            noise_variance=batch["noise_variance"][rows].double(),
            steering=steering,
            sensing=sensing,
        )
        return (padded(found, max_sources=batch["uvq"].shape[1], value=1.0),)

    return by_number(batch["num_sources"], solve)[0]


def grouped_amplitudes(amplitudes: Tensor, *, is_coded: bool) -> Tensor:
    """Amplitudes [scenes, sources, snapshots] as [scenes, groups, sources, shots]."""
    wide = amplitudes.to(torch.complex128)
    return wide.movedim(-1, 1)[..., None] if is_coded else wide[:, None]


def inverse_of(curvature: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse, and whether it means anything: units cancelled, no eigenvalue may be a rounding error."""
    scale = curvature.diagonal(dim1=-2, dim2=-1).clamp(min=1e-300).rsqrt()
    scaled = curvature * scale[:, :, None] * scale[:, None]
    is_known = torch.linalg.eigvalsh(scaled)[:, 0] > _SINGULAR
    eye = torch.eye(scaled.shape[-1], dtype=scaled.dtype, device=scaled.device)
    safe = torch.where(is_known[:, None, None], scaled, eye)
    return torch.linalg.inv(safe) * scale[:, :, None] * scale[:, None], is_known


def physical_slopes(uvq: Tensor) -> Tensor:
    """d(phi, theta, r)/d(u, v, q), [scenes, sources, 3, 3]."""
    u, v, q = uvq.unbind(-1)
    cos_theta = (1.0 - v.square()).sqrt()
    cos_phi = (1.0 - (u / cos_theta).square()).clamp(min=1e-12).sqrt()
    zero = torch.zeros_like(u)
    phi = torch.stack([1.0 / (cos_theta * cos_phi), u * v / (cos_theta.pow(3) * cos_phi), zero], dim=-1)
    theta = torch.stack([zero, 1.0 / cos_theta, zero], dim=-1)
    range_m = torch.stack([zero, zero, -1.0 / q.square()], dim=-1)
    return torch.stack([phi, theta, range_m], dim=-2)
