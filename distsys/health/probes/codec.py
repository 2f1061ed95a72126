"""What a domain encodes and decodes again must be what it was (D1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.health.causes import ROUND_TRIP, SCALED_TWICE
from distsys.health.probes.patient import Patient
from distsys.health.probes.tensors import finite, real
from distsys.health.verdict import Verdict
from distsys.specs import RoundTrip

EXACT = 1e-5
"""Of the range: what rounding in float32 leaves."""
_FAR = 1e-3
_ALIKE = 0.01
"""Of the change of an item: what a multiple of the original leaves of it."""

_ENOUGH = 16
"""Values of an item that tell a scale from anything else."""


def decoding_undoes_encoding(patient: Patient) -> list[Verdict]:
    """Only where the domain offers the round trip of its codec; one that it refuses to make is broken too."""
    if patient.round_trip is None:
        return []
    try:
        trips = patient.round_trip(patient.late)
    except Exception as error:
        text = f"a training batch cannot be encoded and decoded: {type(error).__name__}: {error}".splitlines()[0]
        return [ROUND_TRIP.verdict("stop", text, step=0)]
    return [verdict for name, trip in trips.items() if (verdict := _judged(name, trip)) is not None]


def _judged(name: str, trip: RoundTrip) -> Verdict | None:
    apart = misfit(trip)
    if apart <= EXACT:
        return None
    factor = _factor(trip) if math.isfinite(apart) else None
    if factor is not None:
        evidence = f"'{name}' comes back {factor:.4g} times as large as it was"
        return SCALED_TWICE.verdict("stop" if apart > _FAR else "warn", evidence, step=0)
    evidence = f"'{name}' comes back up to {apart * _width(trip):.3g} {trip.unit} beside what it was, {apart:.2g} of "
    return ROUND_TRIP.verdict("stop" if apart > _FAR else "warn", f"{evidence}its range", step=0)


def misfit(trip: RoundTrip) -> float:
    """Largest difference over the range; infinite where something is lost."""
    if trip.original.shape != trip.decoded.shape:
        return math.inf
    before, after = real(trip.original), real(trip.decoded)
    known = torch.isfinite(before)
    if not bool(torch.isfinite(after[known]).all()):
        return math.inf
    return float((after - before)[known].abs().max()) / _width(trip) if bool(known.any()) else 0.0


def _width(trip: RoundTrip) -> float:
    width = trip.high - trip.low
    if math.isfinite(width) and width > 0.0:
        return width
    known = finite(trip.original)
    return max(float(known.max() - known.min()), float(known.abs().max()), 1e-30) if known.numel() else 1.0


def _factor(trip: RoundTrip) -> float | None:
    """By how much items are scaled, the median of them; None where that is not all that happened to them."""
    before, after = (_rows(item) for item in (trip.original, trip.decoded))
    factor = (before * after).sum(dim=1) / before.square().sum(dim=1)
    left = (after - factor[:, None] * before).norm(dim=1)
    is_scaled = left <= _ALIKE * (after - before).norm(dim=1)
    rests = before.norm(dim=1) == 0.0
    if bool(rests.all()) or not bool((is_scaled | rests).all()):
        return None
    median = float(factor[~rests].median())
    return median if abs(median - 1.0) > EXACT else None


def _rows(values: Tensor) -> Tensor:
    """An item a row; items of few values, which any factor fits, all in one."""
    rows = real(values).nan_to_num(0.0).reshape(len(values), -1)
    return rows if rows.shape[1] >= _ENOUGH else rows.reshape(1, -1)
