"""Bounds for estimators that do not know the array: misspecified, and with the elements as nuisance parameters.

Source: Fortunati et al., Performance bounds for parameter estimation under misspecified models, 2017 (MCRB); Rockah and
Schultheiss 1987 (uncertain elements).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.geometry import surface_of, to_physical
from distsys.domains.ris_localization.data.site import assumed_site, true_site
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.array_fit import joint_information
from distsys.domains.ris_localization.model.grouping import by_number, in_chunks, padded
from distsys.domains.ris_localization.model.likelihood import Likelihood, projected
from distsys.domains.ris_localization.score.bound import grouped_amplitudes, inverse_of, physical_slopes
from distsys.shapes import Complex, Float

_POLISH_STEPS = 40
_SLOPE_STEP = 1e-5
"""Of (u, v, q), in the difference that gives second derivatives."""


@dataclass(frozen=True)
class Misspecified:
    """What an estimator that trusts a wrong array ends with, of phi in rad, theta in rad and r in m.

    Args:
        bias: of the best answer that its model has, without noise, [scenes, sources, 3].
        deviations: least standard deviations about that (MCRB), [scenes, sources, 3].
    """

    bias: Tensor
    deviations: Tensor

    @property
    def rms(self) -> Float[Tensor, "scenes sources 3"]:
        """Least root mean square error."""
        return (self.bias.square() + self.deviations.square()).sqrt()


def misspecified_bound(
    uvq: Float[Tensor, "scenes sources 3"],
    clean: Complex[Tensor, "scenes groups channels shots"],
    *,
    noise_variance: Float[Tensor, " scenes"],
    likelihood: Likelihood,
) -> Misspecified:
    """That of sources at ``uvq`` whose snapshots without noise are ``clean``, read by the model of ``likelihood``.

    The answer without noise is the minimum of the cost next to the truth; the bound is H^-1 C H^-1 there, H the
    curvature of the cost and C what noise does to its slope, amplitudes projected out of both.
    """
    best = in_chunks(lambda start, data: likelihood.polish(start, data, steps=_POLISH_STEPS), uvq, clean)
    curvature = _curvature(best, clean, likelihood)
    spread = _slope_spread(best, clean, likelihood)
    inverse, is_known = inverse_of(curvature)
    covariance = 2.0 * noise_variance[:, None, None] * inverse @ spread @ inverse
    jacobian = physical_slopes(best)
    blocks = torch.stack([covariance[:, 3 * k : 3 * k + 3, 3 * k : 3 * k + 3] for k in range(uvq.shape[1])], dim=1)
    variances = (jacobian @ blocks @ jacobian.mT).diagonal(dim1=-2, dim2=-1)
    deviations = variances.where(is_known[:, None, None], torch.inf).clamp(min=0.0).sqrt()
    return Misspecified(to_physical(best) - to_physical(uvq), deviations)


def _slopes(uvq: Tensor, data: Tensor, likelihood: Likelihood) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    columns, derivatives = likelihood.columns(uvq)
    amplitudes, residual = projected(columns, data)
    return columns, derivatives.flatten(-2), amplitudes.repeat_interleave(3, dim=2), residual


def _gradient(uvq: Tensor, data: Tensor, likelihood: Likelihood) -> Tensor:
    _, slopes, weights, residual = _slopes(uvq, data, likelihood)
    return -2.0 * (weights.conj() * (slopes.mH @ residual)).real.sum(dim=(1, 3))


def _curvature(uvq: Tensor, data: Tensor, likelihood: Likelihood) -> Tensor:
    """Second derivatives of the cost, [scenes, coordinates, coordinates], by central differences of the slope."""
    rows = []
    for place in range(uvq.shape[1] * 3):
        step = torch.zeros_like(uvq).flatten(1)
        step[:, place] = _SLOPE_STEP
        up, down = (_gradient(uvq + sign * step.reshape(uvq.shape), data, likelihood) for sign in (1.0, -1.0))
        rows.append((up - down) / (2.0 * _SLOPE_STEP))
    square = torch.stack(rows, dim=1)
    return 0.5 * (square + square.mT)


def _slope_spread(uvq: Tensor, data: Tensor, likelihood: Likelihood) -> Tensor:
    """Re (M_i y)^H (M_j y), M_i the derivative of the projector P by coordinate i: -(P D A^+ + its transpose)."""
    columns, slopes, weights, residual = _slopes(uvq, data, likelihood)
    number = columns.shape[-1]
    _, outside = projected(columns, slopes)
    moved = outside[..., None, :].mT * weights[:, :, None]  # [scenes, groups, channels, coordinates, shots]
    left = slopes.mH @ residual  # [scenes, groups, coordinates, shots]
    pseudo = torch.linalg.pinv(columns).mH.repeat_interleave(3, dim=-1)  # A^+H of the source of each coordinate
    assert pseudo.shape[-1] == 3 * number
    moved = moved + pseudo[..., None, :].mT * left[:, :, None]
    flat = moved.permute(0, 3, 1, 2, 4).flatten(2)
    return (flat.conj() @ flat.mT).real


def misspecified_of(data: DataConfig, batch: Batch) -> Misspecified:
    """That of the scenes of ``batch``, made with the true site and read as ``data`` assumes it; absent sources 0, 1."""
    site, read = true_site(data), assumed_site(data, data.steering)
    likelihood = Likelihood(read.steering, read.sensing, surface_of(data))
    is_coded = data.measurement == "coded"

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        uvq = batch["uvq"][rows, :number].double()
        amplitudes = grouped_amplitudes(batch["amplitudes"][rows, :number], is_coded=is_coded)
        clean = site.sensing.apply(site.steering.vectors(uvq)) @ amplitudes
        noise = batch["noise_variance"][rows].double()
        found = misspecified_bound(uvq, clean, noise_variance=noise, likelihood=likelihood)
        most = batch["uvq"].shape[1]
        return padded(found.bias, max_sources=most), padded(found.deviations, max_sources=most, value=1.0)

    return Misspecified(*by_number(batch["num_sources"], solve))


def uncertain_bound(
    uvq: Float[Tensor, "scenes sources 3"],
    clean: Complex[Tensor, "scenes groups channels shots"],
    *,
    noise_variance: Float[Tensor, " scenes"],
    likelihood: Likelihood,
    covariance: Float[Tensor, "parameters parameters"],
) -> Float[Tensor, "scenes sources 3"]:
    """Cramer-Rao deviations of phi in rad, theta in rad and r in m where elements are known up to ``covariance``.

    A zero ``covariance`` gives the bound of a known array; elements are nuisance parameters of each scene.
    """
    own, cross, square = joint_information(likelihood, uvq, clean)
    weight = 2.0 / noise_variance[:, None, None]
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    # (W + S^-1)^-1 = S (W S + I)^-1, which takes a singular S.
    taken = torch.linalg.solve((weight * square @ covariance + eye).mT, covariance.expand_as(square)).mT
    left = weight * own - (weight * cross).mT @ taken @ (weight * cross)
    inverse, is_known = inverse_of(left)
    jacobian = physical_slopes(uvq)
    blocks = torch.stack([inverse[:, 3 * k : 3 * k + 3, 3 * k : 3 * k + 3] for k in range(uvq.shape[1])], dim=1)
    variances = (jacobian @ blocks @ jacobian.mT).diagonal(dim1=-2, dim2=-1)
    return variances.where(is_known[:, None, None], torch.inf).clamp(min=0.0).sqrt()


def uncertain_of(data: DataConfig, batch: Batch, covariance: Tensor | None = None) -> Float[Tensor, "scenes sources 3"]:
    """That of the scenes of ``batch`` at the true array, 1 for absent sources.

    Args:
        covariance: of the element parameters (:mod:`..model.array_fit`); by default the spread of ``imperfections``.
    """
    site, is_coded = true_site(data), data.measurement == "coded"
    likelihood = Likelihood(site.steering, site.sensing, surface_of(data))
    spread = _spread(data, site.steering) if covariance is None else covariance

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        uvq = batch["uvq"][rows, :number].double()
        amplitudes = grouped_amplitudes(batch["amplitudes"][rows, :number], is_coded=is_coded)
        pieces = [
            uncertain_bound(
                place,
                site.sensing.apply(site.steering.vectors(place)) @ signal,
                noise_variance=noise,
                likelihood=likelihood,
                covariance=spread,
            )
            for place, signal, noise in zip(
                uvq.split(25), amplitudes.split(25), batch["noise_variance"][rows].double().split(25), strict=True
            )
        ]
        return (padded(torch.cat(pieces), max_sources=batch["uvq"].shape[1], value=1.0),)

    return by_number(batch["num_sources"], solve)[0]


def _spread(data: DataConfig, steering: Steering) -> Tensor:
    """Variances of log gain, phase and place of each element that ``imperfections`` draws with."""
    flaws = data.imperfections
    place_m = flaws.position_share * data.spacing_wavelengths * data.wavelength_m
    row = torch.tensor(
        [flaws.gain_db * math.log(10.0) / 20.0, math.radians(flaws.phase_deg), place_m, place_m], dtype=torch.float64
    )
    return torch.diag(row.square().repeat(len(steering.positions_m)))
