"""The committee as a program: what lies below 1 Hz, metadata and noise to motions."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import NUM_FOLDS
from distsys.domains.ground_motion.data.operators import CUTOFF_HZ, RATE_HZ, WINDOW, GivenNoise, lowpass
from distsys.domains.ground_motion.data.records import Metadata
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.protocol import Program

_METADATA = ("magnitude", "ln distance_km", "ln vs30_m_s", "is_vertical")


class Motions(nn.Module):
    """As many motions of each member; all noise is given, so that the same gives the same."""

    def __init__(self, model: Committee) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: Tensor, metadata: Tensor, noise: Tensor) -> Tensor:
        """[batch, time] in g, [batch, 4] and [batch, 4, count, numbers] to motions [batch, 4, count, time]."""
        return torch.stack([self._of(fold, given, metadata, noise[:, fold]) for fold in range(NUM_FOLDS)], dim=1)

    def _of(self, fold: int, given: Tensor, metadata: Tensor, noise: Tensor) -> Tensor:
        return _sampled(self.model, fold, given, metadata, noise.shape[1], GivenNoise(noise))


def program(model: Committee) -> Program:
    """``(given, metadata, noise) -> motions`` for windows of 20.48 s at 100 Hz; noise is standard normal."""
    numbers = GivenNoise(None)
    _sampled(model, 0, torch.ones(1, WINDOW), torch.tensor([Metadata().row()]), 1, numbers)
    return Program(
        module=Motions(model),
        inputs=_inputs(2, 3, numbers.numbers),
        check=_inputs(3, 5, numbers.numbers),
        outputs=("motions",),
        free={
            "given": {0: "batch"},
            "metadata": {0: "batch"},
            "noise": {0: "batch", 2: "count"},
            "motions": {0: "batch", 2: "count"},
        },
        about={
            "sample_rate_hz": RATE_HZ,
            "unit": "g",
            "given_below_hz": CUTOFF_HZ,
            "metadata": [*_METADATA, "nan where unknown"],
            "noise": "standard normal, independent",
        },
        tolerance=1e-4,
        no_onnx="ONNX has no Fourier transform of real signals that all its runtimes share",
    )


def _sampled(model: Committee, fold: int, given: Tensor, metadata: Tensor, count: int, noise: GivenNoise) -> Tensor:
    """What a member samples, with ``noise`` where it would draw."""
    return model.member(fold).sample(given, metadata, count, generator=cast("torch.Generator", noise))


def _inputs(batch: int, count: int, numbers: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    given = lowpass(0.05 * torch.randn(batch, WINDOW, generator=generator))
    metadata = torch.tensor([[6.5, math.log(20.0), math.nan, 0.0]]).expand(batch, -1).contiguous()
    noise = torch.randn(batch, NUM_FOLDS, count, numbers, generator=generator)
    return {"given": given, "metadata": metadata, "noise": noise}
