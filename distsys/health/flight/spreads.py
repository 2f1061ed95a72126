"""How much outputs differ from item to item, beside what they answer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.health.flight.rows import answer_to, rows_of
from distsys.specs import FieldSpec

ROUNDING = 1e-5
"""Relative spread of a value that differs from item to item by the rounding of float32 alone."""
_FEWEST_ITEMS, _LONG = 4, 8

Spreads = Mapping[str, tuple[float, str]]
"""By output: its spread as a share of another, and of which."""


def spreads(outputs: Mapping[str, Tensor], *, batch: Mapping[str, Tensor], fields: Mapping[str, FieldSpec]) -> Spreads:
    """Of outputs that have a target to compare with, if there is one; else of all, beside their own size."""
    compared: dict[str, tuple[float, str]] = {}
    alone: dict[str, tuple[float, str]] = {}
    for name, value in outputs.items():
        rows = rows_of(value)
        if rows is None or len(rows) < _FEWEST_ITEMS or not bool(torch.isfinite(rows).all()):
            continue
        alone[name] = _share(_across(rows), float(rows.square().mean().sqrt())), "from item to item, beside its size,"
        target = answer_to(name, outputs, batch=batch, fields=fields)
        if target is None or not _across(target) > 0:
            continue
        compared[name] = _share(_across(rows), _across(target)), "from item to item, beside its target's spread,"
        if rows.shape[1] >= _LONG and _within(target) > 0:
            within = _share(_within(rows), _within(target)), "along an item, beside its target's spread,"
            compared[name] = min(compared[name], within)
    return compared or {name: value for name, value in alone.items() if value[0] < ROUNDING or not compared}


def all_below(found: Spreads, limit: float) -> str:
    """What to say of the first output when all are below ``limit``; else nothing."""
    if not found or any(not share < limit for share, _ in found.values()):
        return ""
    name, (share, what) = min(found.items())
    return f"'{name}' varies {what} by {share:.2g} of it"


def _share(value: float, whole: float) -> float:
    return value / whole if whole > 0 else 0.0


def _across(rows: Tensor) -> float:
    return float(rows.std(dim=0, correction=0).square().mean().sqrt())


def _within(rows: Tensor) -> float:
    return float(rows.std(dim=1, correction=0).mean())
