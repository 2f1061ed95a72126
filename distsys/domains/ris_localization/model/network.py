"""The network: few, noisy, perhaps coherent snapshots to the factors of a covariance that MUSIC can read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from distsys.domains.protocol import Batch, Statistics
from distsys.domains.ris_localization.config import Config
from distsys.domains.ris_localization.data.sensing import sensing_of
from distsys.domains.ris_localization.model.subspace import aligned, main_eigenvectors
from distsys.shapes import Complex, Float

_GATE_WIDTH = 32
_CHUNK = 250


class ComplexLinear(nn.Module):
    """A complex matrix without bias: turning the input's phase turns the output's."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size_in, size_out, 2) / math.sqrt(2 * size_in))

    def forward(self, values: Complex[Tensor, "scenes inputs"]) -> Complex[Tensor, "scenes outputs"]:
        return values @ torch.view_as_complex(self.weight)


class GatedBlock(nn.Module):
    """A residual step whose gates see magnitudes only, and so leave the phase alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.norm, self.gate = ComplexLinear(width, width), nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, hidden: Complex[Tensor, "scenes width"]) -> Complex[Tensor, "scenes width"]:
        power = torch.view_as_real(hidden).square().sum(dim=-1).mean(dim=-1, keepdim=True)
        moved = self.linear(hidden * (power + 1e-12).rsqrt())
        return hidden + moved * functional.silu(self.gate(self.norm(magnitude(moved))))


class CovarianceNet(nn.Module):
    """Main eigenvectors of the sample covariance -> F with R = F F^H.

    F holds one learned column a source, and the eigenvectors themselves: where sources are independent they
    already span the truth. Gates that see the eigenvalues weigh both. The network commutes with the phase of
    its input, which carries no information, so that R does not depend on it.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        data, model = config.data, config.model
        self.config = config
        self._sensing = sensing_of(data)
        self._elements, self._rank = data.num_x * data.num_y, data.max_sources
        self.first = ComplexLinear(self._elements * self._rank, model.width)
        self.scales = nn.Linear(2 * self._rank, model.width)
        self.blocks = nn.Sequential(*[GatedBlock(model.width) for _ in range(model.depth)])
        self.last = ComplexLinear(model.width, self._elements * self._rank)
        self.gates = nn.Sequential(
            nn.Linear(3 * self._rank, _GATE_WIDTH), nn.SiLU(), nn.Linear(_GATE_WIDTH, 2 * self._rank)
        )

    def forward(self, batch: Batch, turn: Tensor | None = None) -> Complex[Tensor, "scenes elements columns"]:
        """Factors of the covariance of ``snapshots`` with ``num_sources``; columns of absent sources are zero.

        Args:
            turn: [elements] of size one, by which the elements differ from those that the network was trained for.
        """
        device_type = batch["snapshots"].device.type
        with torch.autocast(device_type, enabled=False):  # there is no complex bfloat16
            field = self._sensing.back_projected(batch["snapshots"])
            if turn is not None:
                field = field * turn.conj()[:, None]
            vectors, shares = main_eigenvectors(field, rank=self._rank)
            present = (torch.arange(self._rank, device=shares.device) < batch["num_sources"][:, None]).to(shares)
            known = torch.cat([shares, present], dim=1)
            weighted = aligned(vectors) * (shares * self._elements).sqrt()[:, None]
            hidden = self.first(weighted.flatten(1)) * (1.0 + self.scales(known))
            learned = self.last(self.blocks(hidden)).reshape(-1, self._elements, self._rank)
            gates = functional.softplus(self.gates(torch.cat([known, (shares + 1e-4).log()], dim=1)))
            columns = torch.cat([learned, vectors], dim=2)
            factors = columns * (gates * present.repeat(1, 2))[:, None]
            return factors if turn is None else factors * turn[:, None]


def predict_factors(
    model: CovarianceNet, batch: Batch, turn: Tensor | None = None
) -> Complex[Tensor, "scenes elements columns"]:
    """The model's covariance factors, a few hundred scenes at a time; ``turn`` as the model takes it."""
    names = ("snapshots", "num_sources")
    pieces = zip(*(batch[name].split(_CHUNK) for name in names), strict=True)
    return torch.cat([model(dict(zip(names, piece, strict=True)), turn) for piece in pieces])


def build_model(config: Config, statistics: Statistics) -> CovarianceNet:
    """The network; it remembers nothing of its training scenes."""
    return CovarianceNet(config)


def magnitude(values: Complex[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """|z| with a finite gradient at 0."""
    return (torch.view_as_real(values).square().sum(dim=-1) + 1e-12).sqrt()
