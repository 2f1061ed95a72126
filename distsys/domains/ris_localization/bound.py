"""The deterministic Cramer-Rao bound of near-field sources.

Source: Stoica and Nehorai, MUSIC, maximum likelihood and Cramer-Rao bound, 1989; near field:
Begriche et al., arXiv 1303.1725.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.ris_localization.geometry import Steering
from distsys.domains.ris_localization.likelihood import normal_equations
from distsys.domains.ris_localization.sensing import Sensing
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
    left = columns.new_zeros(*columns.shape[:3], amplitudes.shape[-1])
    _, curvature = normal_equations(columns, sensing.apply(derivatives), amplitudes, left)
    inverse, is_known = _inverse(curvature)
    covariance = noise_variance[:, None, None] / 2.0 * inverse
    jacobian = _physical_slopes(uvq)
    blocks = torch.stack([covariance[:, 3 * k : 3 * k + 3, 3 * k : 3 * k + 3] for k in range(uvq.shape[1])], dim=1)
    physical = jacobian @ blocks @ jacobian.mT
    variances = physical.diagonal(dim1=-2, dim2=-1)
    return variances.where(is_known[:, None, None], torch.inf).sqrt()


def _inverse(curvature: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse, and whether it means anything: units cancelled, no eigenvalue may be a rounding error."""
    scale = curvature.diagonal(dim1=-2, dim2=-1).clamp(min=1e-300).rsqrt()
    plain = curvature * scale[:, :, None] * scale[:, None]
    is_known = torch.linalg.eigvalsh(plain)[:, 0] > _SINGULAR
    eye = torch.eye(plain.shape[-1], dtype=plain.dtype, device=plain.device)
    safe = torch.where(is_known[:, None, None], plain, eye)
    return torch.linalg.inv(safe) * scale[:, :, None] * scale[:, None], is_known


def _physical_slopes(uvq: Tensor) -> Tensor:
    """d(phi, theta, r)/d(u, v, q), [scenes, sources, 3, 3]."""
    u, v, q = uvq.unbind(-1)
    cos_theta = (1.0 - v.square()).sqrt()
    cos_phi = (1.0 - (u / cos_theta).square()).clamp(min=1e-12).sqrt()
    zero = torch.zeros_like(u)
    phi = torch.stack([1.0 / (cos_theta * cos_phi), u * v / (cos_theta.pow(3) * cos_phi), zero], dim=-1)
    theta = torch.stack([zero, 1.0 / cos_theta, zero], dim=-1)
    range_m = torch.stack([zero, zero, -1.0 / q.square()], dim=-1)
    return torch.stack([phi, theta, range_m], dim=-2)
