"""Whether what was made is a copy of a training record."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import WINDOW, highpart
from distsys.shapes import Float

_AT_ONCE = 4
"""Motions that are compared together: more would only move memory about."""


def nearest(motions: Float[Tensor, "records time"], known: Float[Tensor, "windows time"]) -> Float[Tensor, " records"]:
    """Largest correlation, over all shifts, of each motion above 1 Hz with any training window."""
    spectra = _unit_spectrum(known)
    found = []
    for part in _unit_spectrum(motions).split(_AT_ONCE):
        alike = torch.fft.irfft(part[:, None] * spectra.conj(), 2 * WINDOW)
        found.append(alike.abs().amax(dim=(-1, -2)))
    return torch.cat(found)


def _unit_spectrum(motion: Tensor) -> Tensor:
    high = highpart(motion)
    return torch.fft.rfft(high / high.norm(dim=-1, keepdim=True).clamp(min=1e-30), 2 * WINDOW)
