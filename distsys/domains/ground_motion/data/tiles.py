"""Motions longer than a window: windows that overlap by half, above 1 Hz faded into each other, below 1 Hz one."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import CUTOFF_HZ, RATE_HZ, WINDOW, highpart
from distsys.shapes import Float

HOP = WINDOW // 2


def tile_starts(length: int) -> list[int]:
    """Where windows begin that cover ``length`` samples, at least a window; the last one ends with them."""
    return [*range(0, length - WINDOW, HOP), length - WINDOW]


def below(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """The part below 1 Hz of any length, as :func:`operators.lowpass` has it of a window."""
    length = motion.shape[-1]
    keep = (torch.fft.rfftfreq(length, 1.0 / RATE_HZ) <= CUTOFF_HZ).to(motion.device)
    return torch.fft.irfft(torch.fft.rfft(motion) * keep, length)


def joined(
    tiles: Float[Tensor, "tiles samples window"], given: Float[Tensor, " time"]
) -> Float[Tensor, "samples time"]:
    """What ``tiles`` hold above 1 Hz over the part below 1 Hz of ``given``, which is kept to rounding.

    Fading keeps the power of tiles that are independent of each other, not their sum.
    """
    length = len(given)
    fade = torch.sin(torch.pi * (torch.arange(WINDOW) + 0.5) / WINDOW).square().to(given)
    total, power = given.new_zeros(tiles.shape[1], length), given.new_zeros(length)
    for tile, start in zip(tiles, tile_starts(length), strict=True):
        total[:, start : start + WINDOW] += fade * highpart(tile)
        power[start : start + WINDOW] += fade.square()
    above = total / power.sqrt()
    return below(given) + above - below(above)
