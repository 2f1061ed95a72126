"""What the receiver sees of the surface: the elements themselves, or coded combinations of them.

Snapshots are held as [scenes, groups, channels, shots]: snapshots of one group share their measurement matrix.
An array has one group with every snapshot; a coded surface has one group a snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distsys.domains.draws import complex_normals, hashes
from distsys.domains.ris_localization.config import DataConfig
from distsys.shapes import Complex

_CODE_SEED, _SITE_SEED = 0xC0DE, 0x517E


@dataclass(frozen=True)
class Sensing:
    """The linear map from the field on the elements to the channels.

    Args:
        matrices: [groups, channels, elements], H diag(c_l) for code l; None where channels are elements.
    """

    matrices: Tensor | None = None

    def on(self, device: torch.device) -> Sensing:
        """The same map, held on ``device``."""
        return Sensing(None if self.matrices is None else self.matrices.to(device))

    def apply(
        self, field: Complex[Tensor, "scenes *parts elements"]
    ) -> Complex[Tensor, "scenes groups channels *parts"]:
        """Channels of fields; parts (sources, derivatives) come last, as columns."""
        if self.matrices is None:
            return field.movedim(-1, 1).unsqueeze(1)
        flat = field.reshape(field.shape[0], -1, field.shape[-1])
        received = torch.einsum("gce,bpe->bgcp", self.matrices.to(field), flat)
        return received.reshape(*received.shape[:3], *field.shape[1:-1])

    def grouped(
        self, snapshots: Complex[Tensor, "scenes channels snapshots"]
    ) -> Complex[Tensor, "scenes groups channels shots"]:
        """Snapshots in the layout of this module."""
        return snapshots.unsqueeze(1) if self.matrices is None else snapshots.movedim(-1, 1).unsqueeze(-1)

    def back_projected(
        self, snapshots: Complex[Tensor, "scenes channels snapshots"]
    ) -> Complex[Tensor, "scenes elements snapshots"]:
        """The matched field on the elements: snapshots through the conjugate transpose of their matrices."""
        if self.matrices is None:
            return snapshots
        return torch.einsum("lce,bcl->bel", self.matrices.to(snapshots).conj(), snapshots)


def coded_surface(
    *,
    num_elements: int,
    num_antennas: int,
    num_codes: int,
    phase_bits: int,
    site: int,
    realised: Callable[[Tensor], Tensor] | None = None,
) -> Sensing:
    """A surface seen by a base station through a fixed channel H, one of ``num_codes`` phase codes a snapshot.

    H is Rayleigh, a function of ``site`` alone, scaled so that an antenna receives the power of one element.

    Args:
        realised: phases [codes, elements] in rad that are asked of the surface to those that it takes.
    """
    channel = complex_normals(range(num_antennas), seed=_SITE_SEED + site, num_lanes=num_elements)
    levels = 2**phase_bits
    steps = hashes(range(num_codes), seed=_CODE_SEED + site, num_lanes=num_elements) % np.uint64(levels)
    codes = torch.exp(2j * math.pi / levels * torch.from_numpy(steps.astype(np.float64)))
    if realised is not None:
        codes = torch.exp(1j * realised(2.0 * math.pi / levels * torch.from_numpy(steps.astype(np.float64))))
    matrix = torch.from_numpy(channel).to(torch.complex128) / math.sqrt(num_elements)
    return Sensing(codes[:, None, :] * matrix[None])


def sensing_of(data: DataConfig, realised: Callable[[Tensor], Tensor] | None = None) -> Sensing:
    """How snapshots come from the field; ``realised`` as for :func:`coded_surface`, by default what is asked."""
    if data.measurement == "array":
        return Sensing()
    return coded_surface(
        num_elements=data.num_x * data.num_y,
        num_antennas=data.num_antennas,
        num_codes=data.num_snapshots,
        phase_bits=data.phase_bits,
        site=data.site,
        realised=realised,
    )
