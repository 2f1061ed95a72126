"""An equaliser setting in its two spaces, physical units and u in [0, 1], and the one way between them.

Gain is linear, frequency and Q are logarithmic: one z-score over dB, Hz and Q together lets a single
column outweigh all others a million times.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from distsys.domains.semantic_eq.config import NUM_PARAMETERS
from distsys.shapes import Float
from distsys.specs import RoundTrip

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["gain", "freq", "q"]
BandKind = Literal["low_shelf", "bell", "high_shelf"]

_EDGE = 1e-6
"""Relative distance by which a float may lie outside its bounds."""


class Parameter(NamedTuple):
    """One of the 13 parameters: column name, kind, physical bounds, unit."""

    name: str
    kind: Kind
    low: float
    high: float
    unit: str


class Band(NamedTuple):
    """One of the five filters, by the columns of its parameters; a shelf has no Q of its own."""

    kind: BandKind
    gain: int
    freq: int
    q: int | None


def _gain(band: str) -> Parameter:
    return Parameter(f"{band}_gain_db", "gain", -12.0, 12.0, "dB")


def _freq(band: str, low: float, high: float) -> Parameter:
    return Parameter(f"{band}_freq_hz", "freq", low, high, "Hz")


def _q(band: str) -> Parameter:
    return Parameter(f"{band}_q", "q", 0.1, 10.0, "1")


PARAMETERS: tuple[Parameter, ...] = (
    _gain("low_shelf"),
    _freq("low_shelf", 22.0, 1000.0),
    _gain("bell1"),
    _freq("bell1", 82.0, 3900.0),
    _q("bell1"),
    _gain("bell2"),
    _freq("bell2", 180.0, 4700.0),
    _q("bell2"),
    _gain("bell3"),
    _freq("bell3", 220.0, 10000.0),
    _q("bell3"),
    _gain("high_shelf"),
    _freq("high_shelf", 580.0, 20000.0),
)
assert len(PARAMETERS) == NUM_PARAMETERS
BANDS: tuple[Band, ...] = (
    Band("low_shelf", 0, 1, None),
    Band("bell", 2, 3, 4),
    Band("bell", 5, 6, 7),
    Band("bell", 8, 9, 10),
    Band("high_shelf", 11, 12, None),
)
SHELF_Q = math.sqrt(0.5)
"""Q of a shelf of slope 1 (RBJ Audio EQ Cookbook)."""


def columns(kind: Kind) -> list[int]:
    """Columns of one kind of parameter."""
    return [index for index, item in enumerate(PARAMETERS) if item.kind == kind]


def _bounds(like: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of every column, in dB and in the logarithm of Hz and Q."""
    low = [item.low if item.kind == "gain" else math.log(item.low) for item in PARAMETERS]
    high = [item.high if item.kind == "gain" else math.log(item.high) for item in PARAMETERS]
    return like.new_tensor(low), like.new_tensor(high)


def encode_setting(physical: Float[Tensor, "*items 13"]) -> Float[Tensor, "*items 13"]:
    """Physical units (dB, Hz, 1) to u in [0, 1]; :func:`decode_setting` is its inverse.

    Raises:
        ValueError: a value is not finite or lies outside its bounds.
    """
    low = physical.new_tensor([item.low for item in PARAMETERS])
    high = physical.new_tensor([item.high for item in PARAMETERS])
    slack = _EDGE * (high - low)
    _require((physical >= low - slack) & (physical <= high + slack), physical, "physical units")
    inside = physical.clamp(low, high)
    is_log = _is_log(physical)
    scaled = inside.where(~is_log, inside.clamp(min=1e-9).log())
    floor, ceiling = _bounds(physical)
    return ((scaled - floor) / (ceiling - floor)).clamp(0.0, 1.0)


def decode_setting(u: Float[Tensor, "*items 13"]) -> Float[Tensor, "*items 13"]:
    """u in [0, 1] to physical units (dB, Hz, 1); differentiable. Scaling happens here and nowhere else.

    Raises:
        ValueError: a value is not in [0, 1]: it was decoded before, or never bounded.
    """
    # NaN passes: a model that yields it is for the finite check of the training step to name.
    _require(~((u < -_EDGE) | (u > 1.0 + _EDGE)), u, "u in [0, 1]")
    floor, ceiling = _bounds(u)
    scaled = floor + u * (ceiling - floor)
    is_log = _is_log(u)
    return scaled.where(~is_log, scaled.where(is_log, scaled.new_zeros(())).exp())


def round_trip(share: Float[Tensor, "items 13"]) -> dict[str, RoundTrip]:
    """Every parameter at this share of its range, and at its ends, through u and back; in float64, as data are."""
    share = share.double()
    low, high = (
        share.new_tensor([item.low for item in PARAMETERS]),
        share.new_tensor([item.high for item in PARAMETERS]),
    )
    physical = share.new_empty(len(share) + 2, NUM_PARAMETERS)
    physical[0], physical[1], physical[2:] = low, high, low + share * (high - low)
    decoded = decode_setting(encode_setting(physical))
    return {
        item.name: RoundTrip(physical[:, column], decoded[:, column], item.unit, item.low, item.high)
        for column, item in enumerate(PARAMETERS)
    }


def nearest(u: Float[Tensor, "items 13"]) -> Float[Tensor, "items 13"]:
    """The setting within bounds that is nearest to ``u``, itself if it is within; NaN stays NaN.

    What leaves its bounds is for health and ``in_bounds_fraction`` to name, so that a run is judged and not broken off.
    """
    return u.clamp(0.0, 1.0)


def sort_bells(u: Float[Tensor, "items 13"]) -> Float[Tensor, "items 13"]:
    """The same settings with their three bells in order of centre frequency, so that each response has one name."""
    physical = decode_setting(u)
    bells = physical[:, 2:11].reshape(-1, 3, 3)
    order = bells[:, :, 1].argsort(dim=1, stable=True)
    bells = bells.gather(1, order[:, :, None].expand(-1, -1, 3))
    result = physical.clone()
    result[:, 2:11] = bells.reshape(-1, 9)
    return encode_setting(result)


def _is_log(like: Tensor) -> Tensor:
    import torch

    return torch.tensor([item.kind != "gain" for item in PARAMETERS], device=like.device)


def _require(inside: Tensor, values: Tensor, space: str) -> None:
    if values.device.type != "cpu" or bool(inside.all()):
        return  # on an accelerator every look would wait for the device, in each training step
    flat = int((~inside).reshape(-1, NUM_PARAMETERS).any(dim=0).nonzero()[0])
    worst = float(values.reshape(-1, NUM_PARAMETERS)[~inside.reshape(-1, NUM_PARAMETERS)[:, flat], flat][0])
    item = PARAMETERS[flat]
    raise ValueError(f"{item.name} = {worst:g} is not in {space} (bounds {item.low:g} to {item.high:g} {item.unit})")
