"""Tensors of a step as rows of numbers, an item a row, and the target that an output answers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distsys.health.check import View
from distsys.health.columns import answered
from distsys.specs import FieldSpec

_FEWEST_VALUES = 16
MOST_ITEMS = 32
"""Items that are looked at: enough for a spread, cheap for long signals."""


def rows_of(value: Tensor) -> Tensor | None:
    """The first items as [items, values] in float32; None for what holds no numbers of items."""
    if value.dim() == 0 or not (value.is_floating_point() or value.is_complex()):
        return None
    part = value.detach()[:MOST_ITEMS]
    part = torch.view_as_real(part) if part.is_complex() else part
    rows = part.reshape(len(part), -1).float()
    return rows if rows.numel() else None


def target_of(view: View, output: str) -> Tensor | None:
    """The field that ``output`` of a step answers, as rows."""
    return answer_to(output, view.outputs, batch=view.batch, fields=view.field_specs)


def answer_to(
    output: str, outputs: Mapping[str, Tensor], *, batch: Mapping[str, Tensor], fields: Mapping[str, FieldSpec]
) -> Tensor | None:
    """The field that one of ``outputs`` answers, as rows; None where it answers none."""
    name = answered(output, outputs, batch, fields.values())
    return None if name is None else rows_of(batch[name])


def on_bound(rows: Tensor, target: Tensor | None) -> tuple[float, str]:
    """Share of values that equal the largest or smallest exactly, beyond the target's share, and those bounds."""
    if rows.numel() < _FEWEST_VALUES:
        return 0.0, ""
    share, bounds = _at_extremes(rows)
    return share - (_at_extremes(target)[0] if target is not None else 0.0), bounds


def _at_extremes(rows: Tensor) -> tuple[float, str]:
    """A smallest value of 0 is a rectifier's and does not count."""
    low, high = float(rows.min()), float(rows.max())
    if not low < high:
        return 0.0, ""
    shares = {value: float((rows == value).float().mean()) for value in (low, high) if value != 0.0}
    return sum(shares.values()), " or ".join(f"{value:.4g}" for value in shares)
