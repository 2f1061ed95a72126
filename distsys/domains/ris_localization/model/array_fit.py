"""One Gauss-Newton step on the elements of an array and on the sources of all scenes at once.

Amplitudes are projected out as in :mod:`.likelihood`; the sources of a scene are eliminated by their Schur complement,
so that a step costs one solve in the element parameters: log gain, phase, x and y of each. What is left after the
elimination is the Fisher information of the elements when sources are unknown.
Source: Golub and Pereyra 1973; Kaufman 1975; array self-calibration: Rockah and Schultheiss 1987.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distsys.domains.ris_localization.data.response import Response
from distsys.domains.ris_localization.data.sensing import Sensing
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.likelihood import Likelihood, projected
from distsys.shapes import Complex, Float

PER_ELEMENT = 4
"""Log gain in neper, phase in rad, x and y in m."""
_SOURCE_LOAD = 1e-6
_LARGEST_STEP = 0.5
"""Of a log gain, in neper: a dead element goes to zero in steps."""


@dataclass(frozen=True)
class Scenes:
    """Scenes with equally many sources.

    Args:
        data: [scenes, groups, channels, shots], complex128.
        uvq: [scenes, sources, 3], where they are known or believed to be.
        free: [scenes], numbers a scene has beyond those that its amplitudes take.
        are_known: whether ``uvq`` is known and not to be moved.
    """

    data: Tensor
    uvq: Tensor
    free: Tensor
    are_known: bool = False


@dataclass(frozen=True)
class Step:
    """The likelihood's quadratic model at the elements and sources as they are.

    Args:
        cost: minus the log-likelihood but for a constant, the noise of each scene being its best.
        slope, information: minus its derivative, and Fisher's information, of the elements with sources eliminated.
        energy: [scenes] of each part, outside the span of its sources.
        back: for each part what its sources do when elements move: moves at rest [scenes, coordinates], and by element
            parameter [scenes, coordinates, parameters]; None where they are known.
    """

    cost: float
    slope: Tensor
    information: Tensor
    energy: list[Tensor]
    back: list[tuple[Tensor, Tensor] | None]


def expanded(steering: Steering, sensing: Sensing, parts: list[Scenes], kept: list[Tensor]) -> Step:
    """The step over all scenes of ``parts`` whose ``kept`` [scenes] is true."""
    size = PER_ELEMENT * len(steering.positions_m)
    slope = torch.zeros(size, dtype=torch.float64)
    information, cost = torch.zeros(size, size, dtype=torch.float64), 0.0
    energies, backs = [], []
    for part, chosen in zip(parts, kept, strict=True):
        energy, gradient, square, back = _part(steering, sensing, part, chosen)
        slope, information = slope + gradient, information + square
        cost += float((part.free * energy.clamp(min=1e-300).log() * chosen).sum())
        energies.append(energy)
        backs.append(back)
    return Step(cost, slope, information, energies, backs)


def _part(
    steering: Steering, sensing: Sensing, part: Scenes, chosen: Tensor
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    fields, source_fields = _fields(steering, part.uvq)
    columns = sensing.apply(fields[:, :, 0])
    amplitudes, residual = projected(columns, part.data)
    energy = torch.view_as_real(residual).square().flatten(1).sum(dim=1)
    weight = 2.0 * part.free / energy.clamp(min=1e-300) * chosen
    outside, power = _outside(sensing, columns, amplitudes)
    seen = _matched(sensing, residual) @ amplitudes.mH  # [scenes, groups, elements, sources]
    pull = seen.sum(dim=1)
    weighted = weight[:, None, None]
    slope = (fields.conj() * pull.mT[:, :, None]).real.sum(dim=1)  # [scenes, kinds, elements]
    square = _element_square(fields, outside, power)
    slope, square = slope.mT.flatten(1) * weight[:, None], square * weighted
    if part.are_known:
        return energy, slope.sum(dim=0), square.sum(dim=0), None
    own_slope, own, cross = _source_parts(fields, source_fields, outside, power, pull)
    own = own + torch.diag_embed(_SOURCE_LOAD * own.diagonal(dim1=-2, dim2=-1) + 1e-30)
    root = torch.linalg.solve(own, torch.cat([own_slope[..., None], cross.mT], dim=2))
    rest, carried = root[..., 0], root[..., 1:]
    slope = slope - weight[:, None] * (cross @ rest[..., None])[..., 0]
    square = square - weighted * (cross @ carried)
    return energy, slope.sum(dim=0), square.sum(dim=0), (rest, carried)


def joint_information(
    likelihood: Likelihood,
    uvq: Float[Tensor, "scenes sources 3"],
    clean: Complex[Tensor, "scenes groups channels shots"],
) -> tuple[
    Float[Tensor, "scenes coordinates coordinates"],
    Float[Tensor, "scenes parameters coordinates"],
    Float[Tensor, "scenes parameters parameters"],
]:
    """Information of the sources' coordinates, of both, and of the element parameters, times half the noise's variance.

    Args:
        clean: snapshots without noise of sources at ``uvq``.
    """
    steering, sensing = likelihood.steering, likelihood.sensing
    fields, source_fields = _fields(steering, uvq)
    columns, _ = likelihood.columns(uvq)
    amplitudes, residual = projected(columns, clean)
    outside, power = _outside(sensing, columns, amplitudes)
    pull = (_matched(sensing, residual) @ amplitudes.mH).sum(dim=1)
    _, own, cross = _source_parts(fields, source_fields, outside, power, pull)
    return own, cross, _element_square(fields, outside, power)


def _fields(steering: Steering, uvq: Tensor) -> tuple[Tensor, Tensor]:
    """Fields and what moves them, [scenes, sources, kinds, elements] by element parameter and by source coordinate.

    The first kind, by log gain, is the field itself.
    """
    received, by_source = steering.with_derivatives(uvq)
    by_place = 1j * steering.wavenumber * steering.position_slopes(uvq) * received[:, :, None]
    return torch.cat([received[:, :, None], 1j * received[:, :, None], by_place], dim=2), by_source


def _matched(sensing: Sensing, channels: Tensor) -> Tensor:
    """Through the conjugate transpose of each group's matrix, [scenes, groups, elements, any]."""
    return channels if sensing.matrices is None else sensing.matrices.mH @ channels


def _outside(sensing: Sensing, columns: Tensor, amplitudes: Tensor) -> tuple[Tensor, Tensor]:
    """M^H P M [scenes, groups, elements, elements] and the power X X^H of amplitudes [scenes, groups, k, k]."""
    maps = sensing.matrices
    if maps is None:
        maps = torch.eye(columns.shape[2], dtype=columns.dtype, device=columns.device)[None]
    _, rest = projected(columns, maps[None].expand(len(columns), *maps.shape))
    return maps.mH @ rest, amplitudes @ amplitudes.mH


def _element_square(fields: Tensor, outside: Tensor, power: Tensor) -> Tensor:
    """Re tr((dA_i X)^H P (dA_j X)) of element parameters i and j, element first."""
    rows = fields.permute(0, 3, 2, 1).flatten(1, 2)  # [scenes, element and kind, sources]
    total = None
    for group in range(outside.shape[1]):
        pairs = rows.conj() @ (rows @ power[:, group]).mT
        spread = outside[:, group].repeat_interleave(PER_ELEMENT, dim=1).repeat_interleave(PER_ELEMENT, dim=2)
        part = (spread * pairs).real
        total = part if total is None else total + part
    assert total is not None
    return total


def _source_parts(
    fields: Tensor, source_fields: Tensor, outside: Tensor, power: Tensor, pull: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Slope and square of the sources' coordinates, and their product with the element parameters."""
    number = fields.shape[1]
    slopes = source_fields.flatten(1, 2)  # [scenes, coordinates, elements]
    own_slope = (source_fields.conj() * pull.mT[:, :, None]).real.sum(dim=3).flatten(1)
    own = cross = None
    for group in range(outside.shape[1]):
        reached = outside[:, group] @ slopes.mT  # [scenes, elements, coordinates]
        share = power[:, group].repeat_interleave(3, dim=1)  # [scenes, coordinates, sources]
        square = ((slopes.conj() @ reached) * share.repeat_interleave(3, dim=2).mT).real
        mixed = torch.einsum("bps,bsin->bpin", share, fields.conj())  # [scenes, coordinates, kinds, elements]
        product = (reached.mT[:, :, None] * mixed).real.permute(0, 3, 2, 1).flatten(1, 2)
        own, cross = (square, product) if own is None or cross is None else (own + square, cross + product)
    assert own is not None
    assert cross is not None
    assert own.shape[-1] == 3 * number
    return own_slope, own, cross


def moved(steering: Steering, step: Float[Tensor, " parameters"]) -> Steering:
    """``steering`` with its elements moved by ``step``; gains keep a mean power of one."""
    log, turn, x, y = step.reshape(-1, PER_ELEMENT).unbind(1)
    before = _gains(steering)
    gains = before * torch.polar(log.clamp(-_LARGEST_STEP, _LARGEST_STEP).exp(), turn)
    gains = gains / gains.abs().square().mean().sqrt()
    return replace(steering, positions_m=steering.positions_m + torch.stack([x, y], dim=1), response=Response(gains))


def _gains(steering: Steering) -> Complex[Tensor, " elements"]:
    if steering.response is None:
        return torch.ones(len(steering.positions_m), dtype=torch.complex128)
    return steering.response.gains


def parameters(steering: Steering, nominal: Steering) -> Float[Tensor, " parameters"]:
    """Log gain, phase, and what x and y differ from the nominal, by element."""
    gains = _gains(steering)
    shift = steering.positions_m - nominal.positions_m
    return torch.stack([gains.abs().clamp(min=1e-6).log(), gains.angle(), *shift.unbind(1)], dim=1).flatten()
