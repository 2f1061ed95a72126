"""How far weights are from where they began."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.health.check import View


def displacement(view: View) -> float:
    """Median over weight matrices of how far they are from their beginning, over their size then."""
    named = dict(view.model.named_parameters())
    shares = []
    for name, begin in view.start.items():
        if name not in named or named[name].dim() < 2 or not named[name].requires_grad:
            continue
        now = sampled(named[name].detach(), begin.numel())
        if float(begin.norm()) > 0:
            shares.append((now - begin).norm() / begin.norm())
    return float(torch.stack(shares).median()) if shares else float("inf")


def sampled(values: Tensor, count: int) -> Tensor:
    """At most ``count`` of ``values``, evenly spread, always the same."""
    flat = values.reshape(-1)
    return flat[:: max(1, -(-flat.numel() // count))]
