"""The one low-pass, the bands above it, and their envelopes: masks on the spectrum of a window, all differentiable.

Every mask is real and lies on the window's own Fourier bins, so that nothing shifts in time, the low-pass applied
twice is the low-pass, and a motion is exactly the sum of its parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from distsys.shapes import Complex, Float

RATE_HZ = 100.0
WINDOW = 2048
"""Samples of a window: 20.48 s."""
CUTOFF_HZ = 1.0
EDGES_HZ = (1.0, 2.0, 4.0, 7.0, 12.0, 18.0, 30.0)
NUM_BANDS = len(EDGES_HZ) - 1
NUM_FRAMES = 64
"""Of an envelope over a window."""
_CROSSOVER = 0.1
"""Half width of the transition between bands, as a share of the edge."""
_SMOOTHING_S = 0.25
_BASEBAND = 512
"""Samples of a window that hold any one band."""
_SMALLEST = 1e-30


@cache
def frequencies_hz() -> Float[Tensor, " bins"]:
    """Of the bins of a window's spectrum."""
    return torch.fft.rfftfreq(WINDOW, 1.0 / RATE_HZ)


def lowpass(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """The part below 1 Hz: zero-phase, idempotent, and linear, for conditioning, loss, guidance and metrics alike."""
    keep = (frequencies_hz() <= CUTOFF_HZ).to(motion.device)
    return torch.fft.irfft(torch.fft.rfft(motion) * keep, WINDOW)


def highpart(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """What :func:`lowpass` takes away."""
    return motion - lowpass(motion)


@cache
def band_masks() -> Float[Tensor, "bands bins"]:
    """Amplitudes whose squares add up to 1 between the outer edges and to 0 outside."""
    frequency = frequencies_hz()
    inside = ((frequency > EDGES_HZ[0]) & (frequency <= EDGES_HZ[-1])).float()
    above = [inside]
    for edge in EDGES_HZ[1:-1]:
        place = ((frequency / edge - 1.0) / _CROSSOVER).clamp(-1.0, 1.0)
        above.append(inside * (0.5 + 0.5 * torch.sin(0.5 * torch.pi * place)))  # power passed on to the next band
    above.append(torch.zeros_like(inside))
    return torch.stack([(low - high).clamp(min=0.0).sqrt() for low, high in pairwise(above)])


def band_power(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch bands"]:
    """Mean square of each band (Parseval)."""
    power = torch.fft.rfft(motion).abs().square()
    return power @ band_masks().to(motion.device).square().mT * (2.0 / WINDOW**2)


def band_frames(spectrum: Complex[Tensor, "*batch bins"]) -> Float[Tensor, "*batch bands frames"]:
    """Local mean square of each band of the motion with this ``spectrum``.

    Half the squared Hilbert envelope does not change when a band is moved to frequency 0, where few samples hold it.
    """
    bins, gains = _band_bins()
    moved = spectrum[..., bins.to(spectrum.device)] * gains.to(spectrum.device)
    power = torch.fft.ifft(moved).abs().square() * (2.0 * (_BASEBAND / WINDOW) ** 2)
    return power @ _frame_weights(_BASEBAND).to(power.device)


@cache
def _band_bins() -> tuple[Tensor, Float[Tensor, "bands few"]]:
    """Bins of every band, from its first on, and their amplitudes."""
    masks = band_masks()
    first = (masks > 0.0).int().argmax(dim=-1)
    bins = (first[:, None] + torch.arange(_BASEBAND)).clamp(max=masks.shape[-1] - 1)
    gains = torch.gather(masks, 1, bins)
    gains[:, 1:] *= bins[:, 1:] != bins[:, :-1]
    return bins, gains


def half_power(spectrum: Complex[Tensor, "*batch bins"]) -> Float[Tensor, "*batch time"]:
    """Half the squared Hilbert envelope of the motion with this ``spectrum``."""
    return 0.5 * _analytic(spectrum).abs().square()


def envelope(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """Hilbert envelope under a Gaussian of 0.25 s."""
    rough = _analytic(torch.fft.rfft(motion)).abs()
    gain = torch.exp(-0.5 * (2.0 * torch.pi * frequencies_hz() * _SMOOTHING_S).square()).to(motion.device)
    return torch.fft.irfft(torch.fft.rfft(rough) * gain, WINDOW).clamp(min=0.0)


@cache
def _frame_weights(size: int) -> Float[Tensor, "size frames"]:
    """Gaussians around the frames' centres, round the window's ends; every column sums to 1."""
    step = size / NUM_FRAMES
    centre = torch.arange(NUM_FRAMES) * step + 0.5 * (step - 1.0)
    distance = (torch.arange(size)[:, None] - centre + size / 2) % size - size / 2
    weight = torch.exp(-0.5 * (distance / (0.5 * step)).square())
    return weight / weight.sum(dim=0)


def frames_of(power: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch frames"]:
    """Local means."""
    return power @ _frame_weights(power.shape[-1]).to(power.device)


def over_time(frames: Float[Tensor, "*batch frames"]) -> Float[Tensor, "*batch time"]:
    """Values between the frames' centres, linear; constant at the ends."""
    flat = torch.nn.functional.interpolate(frames.reshape(1, -1, NUM_FRAMES), size=WINDOW, mode="linear")
    return flat.view(*frames.shape[:-1], WINDOW)


class GivenNoise:
    """Noise that was drawn elsewhere, handed out in the order in which it is asked for.

    Args:
        values: [batch, count, numbers] for as many motions; None counts how many ``numbers`` one motion asks for.
        device: where that is counted; None is the CPU.
    """

    def __init__(self, values: Tensor | None, *, device: torch.device | None = None) -> None:
        self._values, self.numbers, self._device = values, 0, device

    def take(self, shape: Sequence[int]) -> Tensor:
        """The next of every motion, whose axes are the first two of ``shape``, or made one."""
        if self._values is None:
            self.numbers += math.prod(shape)
            return torch.zeros(*shape, device=self._device)
        batch, count = self._values.shape[:2]
        has_both = len(shape) > 1 and (int(shape[0]), int(shape[1])) == (int(batch), int(count))
        own = [int(length) for length in shape[2 if has_both else 1 :]]
        begin, self.numbers = self.numbers, self.numbers + math.prod(own)
        taken = self._values[..., begin : self.numbers].unflatten(-1, own)
        return taken if has_both else taken.flatten(0, 1)


def normal(*shape: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal noise of ``shape``, the same whatever the device when the generator is a CPU's."""
    if isinstance(generator, GivenNoise):  # a program's: it has no generator
        return generator.take(shape)
    return torch.randn(shape, generator=generator, device=generator.device).to(device)


def rms(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch"]:
    """Root mean square."""
    return motion.square().mean(dim=-1).clamp(min=_SMALLEST).sqrt()


def _analytic(spectrum: Complex[Tensor, "*batch bins"]) -> Complex[Tensor, "*batch time"]:
    double = torch.full((spectrum.shape[-1],), 2.0, device=spectrum.device)
    double[0] = 1.0
    double[-1] = 1.0
    return torch.fft.ifft(spectrum * double, WINDOW)
