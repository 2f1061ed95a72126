"""The autoencoder of settings: encoder, bounded heads, and the projection that words are compared in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from distsys.domains.protocol import Statistics
from distsys.domains.semantic_eq.config import NUM_PARAMETERS, Config, ModelConfig
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import Ranges, columns, ranges_of
from distsys.domains.semantic_eq.model.refine import STRIDE, refined
from distsys.shapes import Float

CURVE_POINTS = 64
"""Points of the response that the encoder sees."""
_CURVE_SCALE_DB = 12.0
_PROJECTION_SIZE = 16
_CODE_UNIT_DB = 3.0
_FIRST_SHARE = 0.1
"""Of a layer as it is usually begun."""


class _OneSidedClamp(torch.autograd.Function):
    """Clamp to [0, 1] whose gradient passes outside too, unless following it leads further out.

    A sigmoid cannot reach its rails and is dead beyond them; a plain clamp is dead outside.
    """

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, activation: Tensor) -> Tensor:
        context.save_for_backward(activation)
        return activation.clamp(0.0, 1.0)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        (activation,) = context.saved_tensors  # type: ignore[attr-defined]
        (gradient,) = gradients
        outward = ((activation > 1.0) & (gradient < 0.0)) | ((activation < 0.0) & (gradient > 0.0))
        return gradient.masked_fill(outward, 0.0)


def bounded(activation: Float[Tensor, "items 13"]) -> Float[Tensor, "items 13"]:
    """u in [0, 1] from unbounded activations, rails included, alive outside; NaN stays NaN."""
    if not torch.is_grad_enabled():
        return activation.clamp(0.0, 1.0)
    clamped: Tensor = _OneSidedClamp.apply(activation)  # type: ignore[no-untyped-call]
    return clamped


def seed_bounded(activation: Float[Tensor, "items 13"]) -> Float[Tensor, "items 13"]:
    """The heads of the first version, boxed: tanh gains, clamped log frequencies, softplus Qs.

    Kept to compare with: tanh is exactly dead at 20, and the box is dead outside.
    """
    u = activation.clamp(0.0, 1.0)
    gain, q = columns("gain"), columns("q")
    u[:, gain] = 0.5 + 0.5 * torch.tanh(activation[:, gain])
    linear_q = functional.softplus(activation[:, q]) * 0.99 + 0.1
    u[:, q] = ((linear_q.log10() + 1.0) / 2.0).clamp(0.0, 1.0)
    return u


@dataclass(frozen=True)
class Latent:
    """Mean [items, latent] of the code and, for the variational variant, its log-variance."""

    mean: Tensor
    log_variance: Tensor | None

    def sample(self, generator: torch.Generator) -> Tensor:
        """A draw; the mean itself where there is no variance."""
        if self.log_variance is None:
            return self.mean
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + noise * (0.5 * self.log_variance).exp()


class SettingAutoencoder(nn.Module):
    """u and its response -> latent -> u.

    The code is the response's main directions (PCA), in units of 3 dB RMS, and a learned correction: distances in the
    latent begin as distances of responses.

    Args:
        ranges: bounds of the equaliser whose settings they are.
        statistics: the words and their training settings, which a prediction starts from.
    """

    curve_mean: Tensor
    curve_axes: Tensor

    def __init__(self, config: ModelConfig, ranges: Ranges, statistics: Statistics) -> None:
        super().__init__()
        self.ranges = ranges
        self.statistics, self.temperature = statistics, config.temperature
        self._is_variational, self.refine_steps = config.variant == "vae", config.refine_steps
        self._bounded = bounded if config.heads == "clamp" else seed_bounded
        code = config.latent_size * (2 if self._is_variational else 1)
        self.encoder = _layers(NUM_PARAMETERS + CURVE_POINTS, config.width, config.depth, code)
        self.decoder = _layers(config.latent_size, config.width, config.depth, NUM_PARAMETERS)
        self.projection = nn.Sequential(
            nn.Linear(config.latent_size, config.width), nn.SiLU(), nn.Linear(config.width, _PROJECTION_SIZE)
        )
        curve_mean, curve_axes = statistics["curve_mean"], statistics["curve_axes"]
        assert isinstance(curve_mean, Tensor) and isinstance(curve_axes, Tensor)
        self.register_buffer("curve_mean", curve_mean.clone())
        unit = _CODE_UNIT_DB * math.sqrt(curve_axes.shape[1])
        self.register_buffer("curve_axes", curve_axes[: config.latent_size] / unit)
        with torch.no_grad():
            middle, correction = self.decoder[-1], self.encoder[-1]
            assert isinstance(middle, nn.Linear) and isinstance(correction, nn.Linear)
            middle.weight.mul_(_FIRST_SHARE)
            middle.bias.fill_(0.5)  # of every range, where no head is on its rail
            correction.weight.mul_(_FIRST_SHARE)

    def encode(self, u: Float[Tensor, "items 13"], *, curve_db: Float[Tensor, "items points"]) -> Latent:
        """The code of settings given in both forms; ``curve_db`` on the response's own grid."""
        stride = curve_db.shape[1] // CURVE_POINTS
        code = self.encoder(torch.cat([2.0 * u - 1.0, curve_db[:, ::stride] / _CURVE_SCALE_DB], dim=1))
        main = (curve_db - self.curve_mean) @ self.curve_axes.T
        if not self._is_variational:
            return Latent(main + code, None)
        mean, log_variance = code.chunk(2, dim=1)
        return Latent(main + mean, log_variance.clamp(-10.0, 4.0))

    def encode_setting(self, u: Float[Tensor, "items 13"]) -> Float[Tensor, "items latent"]:
        """The code of settings whose response is not at hand."""
        return self.encode(u, curve_db=response_db(u, self.ranges)).mean

    def refined(
        self, latent: Float[Tensor, "items latent"], *, curve_db: Float[Tensor, "items points"]
    ) -> Float[Tensor, "items latent"]:
        """Codes of ``curve_db`` (on the response's own grid) that the encoder gave, refined; without gradients."""
        if self.refine_steps == 0:
            return latent
        target_db = curve_db[:, ::STRIDE]

        def response_of(code: Tensor) -> Tensor:
            u = self.activations(code).clamp(0.0, 1.0) if self._bounded is bounded else self.decode(code)
            return response_db(u, self.ranges, num_points=target_db.shape[1])

        with torch.no_grad():
            return refined(response_of, latent.detach(), target_db, steps=self.refine_steps)

    def activations(self, latent: Float[Tensor, "items latent"]) -> Float[Tensor, "items 13"]:
        """What the heads see: u, not yet bounded."""
        hidden = self.decoder[:-1](latent)
        with torch.autocast(latent.device.type, enabled=False):  # in bfloat16 u would have 256 values
            activation: Tensor = self.decoder[-1](hidden.float())
        return activation

    def bound(self, activation: Float[Tensor, "items 13"]) -> Float[Tensor, "items 13"]:
        """The heads: u in [0, 1]."""
        return self._bounded(activation)

    def decode(self, latent: Float[Tensor, "items latent"]) -> Float[Tensor, "items 13"]:
        """u in [0, 1] for any latent."""
        return self.bound(self.activations(latent))


def build_model(config: Config, statistics: Statistics) -> SettingAutoencoder:
    """The autoencoder; it keeps the words' settings, which predictions need."""
    return SettingAutoencoder(config.model, ranges_of(config.data), statistics)


def _layers(size_in: int, width: int, depth: int, size_out: int) -> nn.Sequential:
    sizes = [size_in, *[width] * depth]
    hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*hidden, nn.Linear(width, size_out))
