"""Ways to what lies above 1 Hz; all share the regression of levels and keep what lies below.

``gaussian`` draws band envelopes from a network with autoregressive residuals and fills them with noise;
``envelope`` diffuses the envelopes; ``complement`` diffuses the motion above 1 Hz, divided by expected envelopes;
``broadband`` diffuses the whole motion, as the original did, and is guided to what lies below 1 Hz.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import DiffusionConfig, ModelConfig, Route
from distsys.domains.ground_motion.diffusion import Denoise, Preconditioned, guided, integrate, sampling_grid
from distsys.domains.ground_motion.envelopes import NUM_INPUTS, EnvelopeNetwork, inputs_of, shapes_of
from distsys.domains.ground_motion.fields import broadband_scale, flattened, shaped
from distsys.domains.ground_motion.levels import LevelModel, features_of, levels_of
from distsys.domains.ground_motion.networks import FrameNet, SignalDiT, UNet
from distsys.domains.ground_motion.operators import (
    NUM_BANDS,
    NUM_FRAMES,
    WINDOW,
    envelope,
    highpart,
    lowpass,
    normal,
    over_time,
    rms,
)
from distsys.domains.ground_motion.scores import correlation
from distsys.domains.ground_motion.synthesis import filled_with_noise, to_levels
from distsys.shapes import Float

_AT_ONCE = 256
"""Motions that are diffused together."""


class Member(nn.Module, ABC):
    """What was learned from the events of three folds.

    Args:
        statistics: what it remembers of its training windows, see :func:`data.statistics_of`.
    """

    level_mean: Tensor
    level_scale: Tensor
    level_weight: Tensor
    level_factor: Tensor
    spectrum: Tensor

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        for name in ("level_mean", "level_scale", "level_weight", "level_factor", "spectrum"):
            self.register_buffer(name, statistics[name].clone())

    @abstractmethod
    def terms(
        self, motion: Float[Tensor, "batch time"], *, generator: torch.Generator
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """``fit`` and ``envelope`` of each window, see :mod:`losses`."""

    @abstractmethod
    def draw(
        self,
        given: Float[Tensor, "batch time"],
        level: Float[Tensor, "batch count bands"],
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "batch count time"]:
        """Motions above 1 Hz for what is ``given`` below, of about these levels."""

    def sample(
        self,
        given: Float[Tensor, "batch time"],
        metadata: Float[Tensor, "batch known"],
        count: int,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "batch count time"]:
        """Motions whose part below 1 Hz is ``given``, drawn from what this member believes."""
        levels = LevelModel(self.level_mean, self.level_scale, self.level_weight, self.level_factor)
        expected = levels.mean_of(features_of(given, metadata))
        noise = normal(len(given), count, NUM_BANDS, generator=generator, device=given.device)
        level = expected[:, None] + noise @ levels.factor.T
        return given[:, None] + highpart(self.draw(given, level, generator=generator))


class GaussianEnvelopes(Member):
    """Envelopes from a network with autoregressive Gaussian residuals, filled with noise."""

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        self.network = EnvelopeNetwork(config)

    def terms(self, motion: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood of the envelopes, and the course of what is expected."""
        mean, spread = self.network(inputs_of(lowpass(motion)))
        fit = -self.network.log_likelihood(shapes_of(motion), mean, spread)
        return fit, course_loss(mean + spread.square(), motion)

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of envelopes and of the noise in them."""
        mean, spread = self.network(inputs_of(given))
        batch, count = level.shape[:2]
        residual = self.network.residuals(batch * count, generator=generator).unflatten(0, (batch, count))
        shape = mean[:, None] + spread[:, None] * residual
        return filled_with_noise(given, level, shape, self.spectrum, generator=generator)


class _Diffusing(Member):
    """What the three diffusions share: a denoiser, and samples of it in portions."""

    denoiser: Preconditioned

    def _sampled(self, noise: Tensor, given: Tensor, *, generator: torch.Generator) -> Tensor:
        """From noise [items, channels, time] and what is given to each."""
        settings = self.config.diffusion
        grid = sampling_grid(settings.steps, self.denoiser.sigma_data)
        parts = []
        for part, told in zip(noise.split(_AT_ONCE), given.split(_AT_ONCE), strict=True):
            parts.append(
                integrate(
                    self._denoise(told, grid),
                    part,
                    grid,
                    sampler=settings.sampler,
                    churn=settings.churn,
                    generator=generator,
                )
            )
        return torch.cat(parts)

    def _denoise(self, told: Tensor, grid: Tensor) -> Denoise:
        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            return torch.as_tensor(self.denoiser(noisy, sigma.expand(len(noisy)), told))

        return denoise


class DiffusedEnvelopes(_Diffusing):
    """Envelopes from a diffusion, filled with noise."""

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        network = FrameNet(NUM_BANDS, NUM_INPUTS, width=config.channels, blocks=config.blocks, dropout=config.dropout)
        self.denoiser = Preconditioned(network, statistics["sigma_data"])
        self.register_buffer("mean_shape", statistics["mean_shape"].clone())

    mean_shape: Tensor

    def terms(self, motion: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Denoising error of the envelopes, and the course of what is expected."""
        clean = shapes_of(motion) - self.mean_shape
        fit, denoised = self.denoiser.loss(clean, inputs_of(lowpass(motion)), generator=generator)
        return fit, course_loss(self.mean_shape + denoised, motion)

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of envelopes and of the noise in them."""
        batch, count = level.shape[:2]
        noise = normal(batch * count, NUM_BANDS, NUM_FRAMES, generator=generator, device=given.device)
        told = inputs_of(given).repeat_interleave(count, dim=0)
        shape = self.mean_shape + self._sampled(noise, told, generator=generator).unflatten(0, (batch, count))
        return filled_with_noise(given, level, shape, self.spectrum, generator=generator)


class DiffusedComplement(_Diffusing):
    """The motion above 1 Hz, bands divided by expected envelopes, from a diffusion."""

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        self.envelopes = EnvelopeNetwork(config)
        self.denoiser = Preconditioned(_over_samples(config, NUM_INPUTS + 1), statistics["sigma_data"])

    def terms(self, motion: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood of the envelopes plus denoising error, and the course of what is denoised."""
        given = lowpass(motion)
        inputs = inputs_of(given)
        mean, spread = self.envelopes(inputs)
        likelihood = self.envelopes.log_likelihood(shapes_of(motion), mean, spread)
        clean = flattened(motion, mean.detach())[:, None]
        error, denoised = self.denoiser.loss(clean, _told(given, inputs), generator=generator)
        course = 1.0 - correlation(envelope(denoised[:, 0]), envelope(clean[:, 0]))
        return error - likelihood, course + course_loss(mean + spread.square(), motion)

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of the motion itself."""
        batch, count = level.shape[:2]
        inputs = inputs_of(given)
        mean = self.envelopes(inputs)[0]
        noise = normal(batch * count, 1, WINDOW, generator=generator, device=given.device)
        told = _told(given, inputs).repeat_interleave(count, dim=0)
        flat = self._sampled(noise, told, generator=generator).view(batch, count, WINDOW)
        return to_levels(shaped(flat, mean), level, given)


class DiffusedBroadband(_Diffusing):
    """The whole motion from a diffusion, guided to what is given below 1 Hz."""

    peak_factor: Tensor

    def __init__(self, config: ModelConfig, statistics: Mapping[str, Tensor]) -> None:
        super().__init__(config, statistics)
        self.denoiser = Preconditioned(_over_samples(config, 1), statistics["sigma_data"])
        self.register_buffer("peak_factor", statistics["peak_factor"].clone())
        self.register_buffer("global_rms", statistics["global_rms"].clone())

    global_rms: Tensor

    def terms(self, motion: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Denoising error, and how far what is denoised strays below 1 Hz."""
        clean = (motion / broadband_scale(motion, self.config.diffusion.scale, self.global_rms)[:, None])[:, None]
        given = lowpass(clean)
        fit, denoised = self.denoiser.loss(clean, given, generator=generator)
        strayed = (lowpass(denoised) - given).square().mean(dim=(-1, -2))
        return fit, strayed / given.square().mean(dim=(-1, -2)).clamp(min=1e-30)

    def draw(self, given: Tensor, level: Tensor, *, generator: torch.Generator) -> Tensor:
        """Of the whole motion, at a scale that the levels foretell."""
        batch, count = level.shape[:2]
        whole = rms(given)[:, None] * (1.0 + (2.0 * level).exp().sum(dim=-1)).sqrt()
        scale = {
            "raw": torch.ones_like(whole),
            "global_std": self.global_rms.expand_as(whole),
            "record_rms": whole,
            "pga": whole * self.peak_factor,
        }[self.config.diffusion.scale]
        noise = normal(batch * count, 1, WINDOW, generator=generator, device=given.device)
        told = (given[:, None] / scale[..., None]).view(batch * count, 1, WINDOW)
        motion = self._sampled(noise, told, generator=generator).view(batch, count, WINDOW)
        return motion * scale[..., None]

    def _denoise(self, told: Tensor, grid: Tensor) -> Denoise:
        return guided(super()._denoise(told, grid), lowpass, told, largest=grid[0])


KINDS: Mapping[Route, type[Member]] = {
    "gaussian": GaussianEnvelopes,
    "envelope": DiffusedEnvelopes,
    "complement": DiffusedComplement,
    "broadband": DiffusedBroadband,
}


def course_loss(shape: Float[Tensor, "batch bands frames"], motion: Float[Tensor, "batch time"]) -> Tensor:
    """One minus the correlation of an expected envelope above 1 Hz with the true one.

    Shape: [batch, bands, frames] log envelopes and [batch, time] to [batch].
    Unit: 1.
    Range: 0 (the same course) to 2.
    Invariant to: scale of either envelope.
    Source: the envelope term of the original, which ran outside of autograd and had no gradient.
    """
    level = levels_of(motion)[..., None]
    expected = (2.0 * (level + shape)).exp().sum(dim=-2).sqrt()
    true = (2.0 * (level + shapes_of(motion))).exp().sum(dim=-2).sqrt()
    return 1.0 - correlation(expected, true)


def _told(given: Tensor, inputs: Tensor) -> Float[Tensor, "batch channels time"]:
    """What is given, at full rate: the motion itself and its channels by frame."""
    return torch.cat(((given / rms(given)[:, None])[:, None], over_time(inputs)), dim=1)


def _over_samples(config: ModelConfig, given: int) -> nn.Module:
    settings: DiffusionConfig = config.diffusion
    if settings.network == "unet":
        return UNet(given, width=config.channels, dropout=config.dropout)
    return SignalDiT(
        given, width=config.channels, blocks=config.blocks, dropout=config.dropout, fixed_blend=settings.fixed_blend
    )
