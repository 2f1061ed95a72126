"""An equaliser setting in its two spaces, physical units and u in [0, 1], and the one way between them.

Gain is linear, frequency and Q are logarithmic: one z-score over dB, Hz and Q together lets a single
column outweigh all others a million times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from distsys.domains.semantic_eq.config import FREQUENCIES_HZ, NUM_PARAMETERS, SHARED, DataConfig
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


def _freq(band: str) -> Parameter:
    return Parameter(f"{band}_freq_hz", "freq", *FREQUENCIES_HZ[f"{band}_freq_hz"], "Hz")


def _q(band: str) -> Parameter:
    return Parameter(f"{band}_q", "q", 0.1, 10.0, "1")


SAFE_PARAMETERS: tuple[Parameter, ...] = (
    _gain("low_shelf"),
    _freq("low_shelf"),
    _gain("bell1"),
    _freq("bell1"),
    _q("bell1"),
    _gain("bell2"),
    _freq("bell2"),
    _q("bell2"),
    _gain("bell3"),
    _freq("bell3"),
    _q("bell3"),
    _gain("high_shelf"),
    _freq("high_shelf"),
)
"""Of the equaliser that SAFE was recorded with."""
assert len(SAFE_PARAMETERS) == NUM_PARAMETERS
NAMES = tuple(item.name for item in SAFE_PARAMETERS)
KINDS = tuple(item.kind for item in SAFE_PARAMETERS)
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
    return [index for index, own in enumerate(KINDS) if own == kind]


@dataclass(frozen=True)
class Ranges:
    """An equaliser's bounds, and with them the one way between physical units and u.

    Args:
        parameters: the 13, in the order of the columns.
    """

    parameters: tuple[Parameter, ...] = SAFE_PARAMETERS

    def encode(self, physical: Float[Tensor, "*items 13"]) -> Float[Tensor, "*items 13"]:
        """Physical units (dB, Hz, 1) to u in [0, 1]; :meth:`decode` is its inverse.

        Raises:
            ValueError: a value is not finite or lies outside its bounds.
        """
        low, high = self.limits(physical)
        slack = _EDGE * (high - low)
        self._require((physical >= low - slack) & (physical <= high + slack), physical, "physical units")
        inside = physical.clamp(low, high)
        scaled = inside.where(~_is_log(physical), inside.clamp(min=1e-9).log())
        floor, ceiling = self._scaled_limits(physical)
        return ((scaled - floor) / (ceiling - floor)).clamp(0.0, 1.0)

    def decode(self, u: Float[Tensor, "*items 13"]) -> Float[Tensor, "*items 13"]:
        """u in [0, 1] to physical units (dB, Hz, 1); differentiable. Scaling happens here and nowhere else.

        Raises:
            ValueError: a value is not in [0, 1]: it was decoded before, or never bounded.
        """
        # NaN passes: a model that yields it is for the finite check of the training step to name.
        self._require(~((u < -_EDGE) | (u > 1.0 + _EDGE)), u, "u in [0, 1]")
        floor, ceiling = self._scaled_limits(u)
        scaled = floor + u * (ceiling - floor)
        is_log = _is_log(u)
        return scaled.where(~is_log, scaled.where(is_log, scaled.new_zeros(())).exp())

    def limits(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of every column, in physical units."""
        return like.new_tensor([item.low for item in self.parameters]), like.new_tensor(
            [item.high for item in self.parameters]
        )

    def _scaled_limits(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The same in dB and in the logarithm of Hz and Q."""
        low = [item.low if item.kind == "gain" else math.log(item.low) for item in self.parameters]
        high = [item.high if item.kind == "gain" else math.log(item.high) for item in self.parameters]
        return like.new_tensor(low), like.new_tensor(high)

    def round_trip(self, share: Float[Tensor, "items 13"]) -> dict[str, RoundTrip]:
        """Every parameter at this share of its range, and at its ends, through u and back; in float64, as data are."""
        share = share.double()
        low, high = self.limits(share)
        physical = share.new_empty(len(share) + 2, NUM_PARAMETERS)
        physical[0], physical[1], physical[2:] = low, high, low + share * (high - low)
        decoded = self.decode(self.encode(physical))
        return {
            item.name: RoundTrip(physical[:, column], decoded[:, column], item.unit, item.low, item.high)
            for column, item in enumerate(self.parameters)
        }

    def sort_bells(self, u: Float[Tensor, "items 13"]) -> Float[Tensor, "items 13"]:
        """The same settings with their bells in order of centre frequency, so that each response has one name."""
        physical = self.decode(u)
        bells = physical[:, 2:11].reshape(-1, 3, 3)
        order = bells[:, :, 1].argsort(dim=1, stable=True)
        bells = bells.gather(1, order[:, :, None].expand(-1, -1, 3))
        result = physical.clone()
        result[:, 2:11] = bells.reshape(-1, 9)
        return self.encode(result)

    def _require(self, inside: Tensor, values: Tensor, space: str) -> None:
        if values.device.type != "cpu" or bool(inside.all()):
            return  # on an accelerator every look would wait for the device, in each training step
        flat = int((~inside).reshape(-1, NUM_PARAMETERS).any(dim=0).nonzero()[0])
        worst = float(values.reshape(-1, NUM_PARAMETERS)[~inside.reshape(-1, NUM_PARAMETERS)[:, flat], flat][0])
        item = self.parameters[flat]
        bounds = f"(bounds {item.low:g} to {item.high:g} {item.unit})"
        raise ValueError(f"{item.name} = {worst:g} is not in {space} {bounds}")


SAFE = Ranges()


def ranges_of(data: DataConfig) -> Ranges:
    """Those of SAFE, but for what ``data.bounds`` says."""

    def bounded(item: Parameter) -> Parameter:
        low, high = data.bounds.get(item.name) or data.bounds.get(SHARED.get(item.kind, ""), (item.low, item.high))
        return item._replace(low=low, high=high)

    return Ranges(tuple(bounded(item) for item in SAFE_PARAMETERS))


def nearest(u: Float[Tensor, "items 13"]) -> Float[Tensor, "items 13"]:
    """The setting within bounds that is nearest to ``u``, itself if it is within; NaN stays NaN.

    What leaves its bounds is for health and ``in_bounds_fraction`` to name, so that a run is judged and not broken off.
    """
    return u.clamp(0.0, 1.0)


def _is_log(like: Tensor) -> Tensor:
    import torch

    return torch.tensor([kind != "gain" for kind in KINDS], device=like.device)
