"""What every member of the committee remembers of its training windows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.cuts import Cut
from distsys.domains.ground_motion.data.diffused import measured_sigma
from distsys.domains.ground_motion.data.envelopes import shapes_of
from distsys.domains.ground_motion.data.levels import LevelModel
from distsys.domains.ground_motion.data.operators import highpart, rms
from distsys.errors import DataError

_LARGEST_CONTRADICTION = 1.5
"""Between measured and configured sigma_data."""


def statistics_of(cuts: Sequence[Cut], levels: Sequence[LevelModel], model: ModelConfig) -> dict[str, Tensor]:
    """The regression of levels, the mean spectrum above 1 Hz, and scales, each stacked over members.

    Raises:
        DataError: the configured sigma_data contradicts the data.
    """
    found: dict[str, list[Tensor]] = {}
    for cut, item in zip(cuts, levels, strict=True):
        motion = cut.motion
        values = {
            **{f"level_{name}": value for name, value in vars(item).items()},
            "spectrum": _spectrum(motion),
            "mean_shape": shapes_of(motion).mean(dim=0),
            "global_rms": motion.square().mean().sqrt(),
            "peak_factor": (motion.abs().amax(dim=-1) / rms(motion)).log().mean().exp(),
            "sigma_data": _sigma_data(motion, model),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: torch.stack(values) for name, values in found.items()}


def _spectrum(motion: Tensor) -> Tensor:
    """[bins] mean amplitude above 1 Hz."""
    high = highpart(motion)
    return torch.fft.rfft(high / rms(high)[:, None]).abs().square().mean(dim=0).sqrt()


def _sigma_data(motion: Tensor, model: ModelConfig) -> Tensor:
    measured = measured_sigma(motion, model.route, model.diffusion.scale)
    wanted = model.diffusion.sigma_data
    if wanted is None or model.route == "gaussian":
        return measured
    ratio = float(measured) / wanted
    if not 1.0 / _LARGEST_CONTRADICTION <= ratio <= _LARGEST_CONTRADICTION:
        raise DataError(
            f"what the {model.route} route diffuses has a standard deviation of {float(measured):.3g}, "
            f"model.diffusion.sigma_data is {wanted:g}",
            expected=f"a factor of {_LARGEST_CONTRADICTION:g} at most between them: else nearly every noise level "
            "drowns the data, or is drowned",
            fix="set model.diffusion.sigma_data to null, which measures it, or model.diffusion.scale to record_rms",
        )
    return torch.tensor(wanted)
