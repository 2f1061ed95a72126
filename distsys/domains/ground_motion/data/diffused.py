"""What diffusions diffuse, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import Route, Scale
from distsys.domains.ground_motion.data.envelopes import shapes_of
from distsys.domains.ground_motion.data.operators import WINDOW, band_masks, over_time, rms
from distsys.shapes import Float


def flattened(
    motion: Float[Tensor, "batch time"], shape: Float[Tensor, "batch bands frames"]
) -> Float[Tensor, "batch time"]:
    """The motion above 1 Hz, each band divided by ``shape`` (ln RMS by frame) and of RMS 1, in all of RMS about 1."""
    bands = _bands(motion) * over_time(-shape).exp()
    return (bands / rms(bands)[..., None]).sum(dim=-2) / bands.shape[-2] ** 0.5


def shaped(
    flat: Float[Tensor, "batch count time"], shape: Float[Tensor, "batch bands frames"]
) -> Float[Tensor, "batch count time"]:
    """The way back from :func:`flattened`, up to the level of each band."""
    return (_bands(flat) * over_time(shape).exp()[:, None]).sum(dim=-2)


def _bands(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch bands time"]:
    """Parts that add up to the motion above 1 Hz."""
    parts = torch.fft.rfft(motion)[..., None, :] * band_masks().to(motion.device).square()
    return torch.fft.irfft(parts, WINDOW)


def broadband_scale(motion: Float[Tensor, "batch time"], scale: Scale, global_rms: Tensor) -> Float[Tensor, " batch"]:
    """What a whole motion is divided by before it is diffused, in g."""
    ways: Mapping[Scale, Callable[[], Tensor]] = {
        "raw": lambda: torch.ones_like(motion[:, 0]),
        "global_std": lambda: global_rms.expand(len(motion)),
        "record_rms": lambda: rms(motion),
        "pga": lambda: motion.abs().amax(dim=-1),
    }
    return ways[scale]()


def measured_sigma(motion: Float[Tensor, "batch time"], route: Route, scale: Scale) -> Float[Tensor, ""]:
    """Standard deviation of what ``route`` diffuses, over training windows; 1 where nothing is diffused."""
    if route == "envelope":
        shape = shapes_of(motion)
        return (shape - shape.mean(dim=0)).std()
    if route == "broadband":
        return (motion / broadband_scale(motion, scale, motion.square().mean().sqrt())[:, None]).std()
    if route == "complement":
        return flattened(motion, shapes_of(motion).mean(dim=0).expand(len(motion), -1, -1)).std()
    return torch.ones(())
