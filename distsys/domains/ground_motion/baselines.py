"""Rows that need no network: what happened, what was given, noise, and hybrids of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from distsys.domains.ground_motion.envelopes import shapes_of
from distsys.domains.ground_motion.levels import LevelModel, features_of, levels_of
from distsys.domains.ground_motion.metrics import Scores
from distsys.domains.ground_motion.operators import NUM_BANDS, frames_of, half_power, highpart, lowpass, rms
from distsys.domains.ground_motion.synthesis import filled_with_noise
from distsys.domains.protocol import Batch

_COUNT = 40
_SEED = 1


@dataclass(frozen=True)
class Plain:
    """What one member's training windows say without a network.

    Args:
        levels: regression of the level of each band.
        total: the same of the level of everything above 1 Hz.
        balance: [bands] mean level of a band over that of everything above 1 Hz.
        shape: [bands, frames] mean shape.
        spectrum: [bins] mean amplitude above 1 Hz.
    """

    levels: LevelModel
    total: LevelModel
    balance: Tensor
    shape: Tensor
    spectrum: Tensor

    @classmethod
    def fit(cls, motion: Tensor, features: Tensor, events: np.ndarray, levels: LevelModel) -> Self:
        """From windows [records, time] and their features."""
        high = highpart(motion)
        total = (rms(high) / rms(lowpass(motion))).log()[:, None]
        balance = (levels_of(motion) - total).mean(dim=0)
        spectrum = torch.fft.rfft(high / rms(high)[:, None]).abs().square().mean(dim=0).sqrt()
        return cls(levels, LevelModel.fit(features, total, events), balance, shapes_of(motion).mean(dim=0), spectrum)


Ensemble = Callable[[Batch, Plain, torch.Generator], Tensor]
"""Motions [records, count, time] for the records of one member."""


def baseline_rows(batches: Sequence[Batch], plain: Sequence[Plain]) -> dict[str, dict[str, float]]:
    """Every comparison, scored as the model is."""
    ways: dict[str, Ensemble] = {
        "truth": lambda batch, plain, generator: batch["motion"][:, None],
        "c alone": lambda batch, plain, generator: lowpass(batch["motion"])[:, None],
        "white noise + c": _white,
        "mean envelope": _mean_envelope,
        "hybrid, oracle level": _oracle_hybrid,
        "fair hybrid": _fair_hybrid,
    }
    return {**{name: _scored(batches, plain, way) for name, way in ways.items()}, "sibling": _sibling(batches)}


def _scored(batches: Sequence[Batch], plain: Sequence[Plain], way: Ensemble) -> dict[str, float]:
    parts = []
    for batch, item in zip(batches, plain, strict=True):
        generator = torch.Generator().manual_seed(_SEED)
        parts.append(Scores.of(way(batch, item, generator), batch["motion"]))
    return Scores.joined(parts).summary()


def _white(batch: Batch, plain: Plain, generator: torch.Generator) -> Tensor:
    """White noise above 1 Hz, with the energy that a regression expects."""
    given = lowpass(batch["motion"])
    noise = highpart(torch.randn(len(given), _COUNT, given.shape[-1], generator=generator))
    level = _total_level(batch, plain, generator).exp() * rms(given)[:, None]
    return given[:, None] + noise / rms(noise)[..., None] * level[..., None]


def _mean_envelope(batch: Batch, plain: Plain, generator: torch.Generator) -> Tensor:
    """Levels of the six-band regression, and the mean shape of training whatever is given."""
    given = lowpass(batch["motion"])
    mean = plain.levels.mean_of(features_of(given, batch["metadata"]))
    noise = torch.randn(len(given), _COUNT, NUM_BANDS, generator=generator)
    level = mean[:, None] + noise @ plain.levels.factor.T
    shape = plain.shape.expand(*level.shape, -1)
    return given[:, None] + highpart(filled_with_noise(given, level, shape, plain.spectrum, generator=generator))


def _oracle_hybrid(batch: Batch, plain: Plain, generator: torch.Generator) -> Tensor:
    """Noise under the envelope of what is given, with the true energy above 1 Hz."""
    motion = batch["motion"]
    true = (rms(highpart(motion)) / rms(lowpass(motion))).log()
    return _hybrid(batch, plain, true[:, None].expand(-1, _COUNT), generator)


def _fair_hybrid(batch: Batch, plain: Plain, generator: torch.Generator) -> Tensor:
    """The same with the energy of a regression and its spread."""
    return _hybrid(batch, plain, _total_level(batch, plain, generator), generator)


def _hybrid(batch: Batch, plain: Plain, total: Tensor, generator: torch.Generator) -> Tensor:
    given = lowpass(batch["motion"])
    shape = 0.5 * frames_of(half_power(torch.fft.rfft(given))).clamp(min=1e-30).log()
    shape = shape[:, None, None].expand(-1, _COUNT, NUM_BANDS, -1)
    level = total[..., None] + plain.balance
    return given[:, None] + highpart(filled_with_noise(given, level, shape, plain.spectrum, generator=generator))


def _total_level(batch: Batch, plain: Plain, generator: torch.Generator) -> Tensor:
    """[records, count] ln RMS above 1 Hz over that below."""
    mean = plain.total.mean_of(features_of(lowpass(batch["motion"]), batch["metadata"]))
    return mean + torch.randn(len(mean), _COUNT, generator=generator) * plain.total.factor[0, 0]


def _sibling(batches: Sequence[Batch]) -> dict[str, float]:
    """The part above 1 Hz of another component of the same event and station, at the same time, where there is one."""
    parts = []
    for batch in batches:
        has = batch["sibling"].any(dim=-1)
        if bool(has.any()):
            motion, other = batch["motion"][has], batch["sibling"][has]
            parts.append(Scores.of((lowpass(motion) + highpart(other))[:, None], motion))
    return Scores.joined(parts).summary() if parts else {}
