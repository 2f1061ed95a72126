"""The network as a program: snapshots to the factors of a covariance on which MUSIC works."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.domains.protocol import Program
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.geometry import surface_of
from distsys.domains.ris_localization.data.steering import steering_of
from distsys.domains.ris_localization.model.network import CovarianceNet


class Factors(nn.Module):
    """Complex numbers as pairs on the last axis, since few languages have a tensor of them."""

    def __init__(self, model: CovarianceNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, snapshots: Tensor, num_sources: Tensor) -> Tensor:
        """Snapshots [scenes, channels, snapshots, 2] and sources [scenes] to F [scenes, elements, columns, 2]."""
        batch = {"snapshots": torch.view_as_complex(snapshots), "num_sources": num_sources}
        return torch.view_as_real(self.model(batch))


def program(model: CovarianceNet) -> Program:
    """``(snapshots, num_sources) -> factors``: R = F F^H, whose main eigenvectors span the sources' steering vectors.

    The search over positions is not in it: it depends on the surface alone, as in any MUSIC.
    """
    data = model.config.data
    surface, steering = surface_of(data), steering_of(data, data.steering)
    return Program(
        module=Factors(model),
        inputs=_inputs(data, 3),
        check=_inputs(data, 5),
        outputs=("factors",),
        free={"snapshots": {0: "scenes"}, "num_sources": {0: "scenes"}, "factors": {0: "scenes"}},
        about={
            "elements_m": steering.positions_m.tolist(),
            "gains": [] if steering.response is None else torch.view_as_real(steering.response.gains).tolist(),
            "wavelength_m": surface.wavelength_m,
            "means": "R = F F^H; its num_sources main eigenvectors span what MUSIC compares steering vectors with",
        },
        tolerance=1e-4,
        no_onnx="ONNX has no eigenvectors of complex matrices",
    )


def _inputs(data: DataConfig, scenes: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(scenes)
    snapshots = torch.randn(scenes, data.num_channels, data.num_snapshots, 2, generator=generator)
    numbers = data.min_sources + torch.arange(scenes) % (data.max_sources - data.min_sources + 1)
    return {"snapshots": snapshots, "num_sources": numbers}
