"""How strong signals are: energies and root mean squares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distsys.shapes import Float

_ENERGY_FLOOR = 1e-10


def energy_db(samples: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch"]:
    """Mean square in dB of full scale, -100 for silence."""
    return 10.0 * torch.log10(samples.square().mean(dim=-1) + _ENERGY_FLOOR)


def rms(samples: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis, summed in float64."""
    return np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=-1))


def with_rms(samples: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """``samples`` [..., time], of float32, scaled to the root mean squares ``wanted`` [...]; silence stays silence."""
    gain = (wanted / np.maximum(rms(samples), 1e-12)).astype(np.float32)
    return samples * gain[..., None]
