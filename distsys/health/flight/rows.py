"""Tensors of a step as rows of numbers, an item a row, and which field of the batch an output answers."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.health.check import View

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
    """The field that ``output`` answers, as rows: one of its name, else the only target of its shape."""
    if output in view.batch and view.batch[output].shape == view.outputs[output].shape:
        return rows_of(view.batch[output])
    shape = view.outputs[output].shape
    alike = [
        name
        for name, spec in view.field_specs.items()
        if spec.role == "target" and name in view.batch and view.batch[name].shape == shape
    ]
    return rows_of(view.batch[alike[0]]) if len(alike) == 1 else None
