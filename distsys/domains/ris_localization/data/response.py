"""What elements make of the field that reaches them: their gains, and what they leak to each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distsys.shapes import Complex


@dataclass(frozen=True)
class Response:
    """A linear map from the field at the elements to what they give.

    Args:
        gains: [elements], complex128, by which each turns and scales it.
        coupling: [elements, elements], complex128, applied after the gains; None where elements do not couple.
    """

    gains: Tensor
    coupling: Tensor | None = None

    def on(self, device: torch.device) -> Response:
        """The same, held on ``device``."""
        return Response(self.gains.to(device), None if self.coupling is None else self.coupling.to(device))

    def of(self, field: Complex[Tensor, "*items elements"]) -> Complex[Tensor, "*items elements"]:
        """What elements receive of ``field``."""
        received = field * self.gains.to(field)
        return received if self.coupling is None else received @ self.coupling.to(field).mT
