"""How the energy of a signal arrives over time (Husid 1969)."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.shapes import Float, Int


def arrived_share(power: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """Share of the whole energy that has arrived up to and with each place of ``power``; NaN for silence."""
    arrived = power.cumsum(dim=-1)
    return arrived / arrived[..., -1:]


def arrival(power: Float[Tensor, "*batch time"], share: float) -> Int[Tensor, "*batch"]:
    """The first place at which ``share`` of the whole energy has arrived."""
    arrived = power.cumsum(dim=-1)
    return torch.sum(arrived < share * arrived[..., -1:], dim=-1)
