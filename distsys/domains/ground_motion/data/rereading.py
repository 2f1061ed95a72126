"""Motions written to files and read again: what training reads must be what was written, in g, scaled once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distsys.domains.ground_motion.data.at2 import at2_text, read_at2
from distsys.domains.ground_motion.data.npz import read_npz
from distsys.domains.ground_motion.data.operators import RATE_HZ
from distsys.shapes import Float
from distsys.specs import RoundTrip

_FEW = 2


def round_trip(motion: Float[Tensor, "batch time"]) -> dict[str, RoundTrip]:
    """The first motions in PEER's format, and as NPZ over their peak, as the original project kept them."""
    few = motion[:_FEW].cpu()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        return {
            "motion as AT2": _reread(few, lambda samples: _through_at2(samples, place / "motion.AT2")),
            "motion as NPZ": _reread(few, lambda samples: _through_npz(samples, place / "motion.npz")),
        }


def _reread(motion: Tensor, through: Callable[[np.ndarray], np.ndarray]) -> RoundTrip:
    rows = [torch.from_numpy(through(row.numpy())).to(motion) for row in motion]
    return RoundTrip(motion, torch.stack(rows), "g")


def _through_at2(samples: np.ndarray, path: Path) -> np.ndarray:
    path.write_text(at2_text(samples, dt_s=1.0 / RATE_HZ, title="round trip", place="event, station, H1"))
    (record,) = read_at2(path, "g")
    return record.samples


def _through_npz(samples: np.ndarray, path: Path) -> np.ndarray:
    peak = np.abs(samples).max()
    np.savez(path, signal_broadband=samples / peak, pga_broadband=peak, sampling_rate=RATE_HZ)
    (record,) = read_npz(path, "g")
    return record.samples
