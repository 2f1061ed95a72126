"""Rows that need no network: what happened, what was given, noise, and hybrids of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import NUM_FOLDS, Config
from distsys.domains.ground_motion.data.bundle import WindowSource
from distsys.domains.ground_motion.data.cuts import Cut
from distsys.domains.ground_motion.data.levels import LevelModel, features_of, levels_of
from distsys.domains.ground_motion.data.operators import NUM_BANDS, frames_of, half_power, highpart, lowpass, rms
from distsys.domains.ground_motion.model.synthesis import filled_with_noise
from distsys.domains.ground_motion.score.metrics import Scores
from distsys.domains.kit import Lazily
from distsys.domains.protocol import Baseline, Batch, DataBundle, EvalSet, Kind, Statistics

_COUNT = 40
_SEED = 1


@dataclass(frozen=True)
class Empirical:
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
    def fit(cls, cut: Cut, known: Mapping[str, Tensor]) -> Empirical:
        """From windows with their features, and what members remember of the same windows."""
        levels = LevelModel(*(known[f"level_{name}"] for name in ("mean", "scale", "weight", "factor")))
        total = (rms(highpart(cut.motion)) / rms(lowpass(cut.motion))).log()[:, None]
        balance = (levels_of(cut.motion) - total).mean(dim=0)
        fitted = LevelModel.fit(cut.features, total, cut.events, cut.networks)
        return cls(levels, fitted, balance, known["mean_shape"], known["spectrum"])


Ensemble = Callable[[Batch, Empirical, torch.Generator], Tensor]
"""Motions [records, count, time] for the records of one member."""


def baselines(config: Config, bundle: DataBundle, data: EvalSet) -> dict[str, Baseline]:
    """Every comparison, fitted on the training windows of ``bundle`` and scored on ``data`` as the model is."""
    assert isinstance(bundle.train, WindowSource)
    fitted = [
        Empirical.fit(cut, _of_fold(bundle.statistics, fold))
        for fold, cut in zip(range(NUM_FOLDS), bundle.train.cuts, strict=True)
    ]
    ways: dict[str, tuple[Kind, Ensemble]] = {
        "truth": ("bound", _truth),
        "c alone": ("trivial", _given_alone),
        "white noise + c": ("trivial", _white),
        "mean envelope": ("trivial", _mean_envelope),
        "hybrid, oracle level": ("bound", _oracle_hybrid),
        "fair hybrid": ("peer", _fair_hybrid),
    }
    rows = {name: Baseline(kind, Lazily(partial(_scored, data, fitted, way))) for name, (kind, way) in ways.items()}
    return {**rows, "sibling": Baseline("bound", Lazily(partial(_sibling, data)))}


def _of_fold(statistics: Statistics, fold: int) -> dict[str, Tensor]:
    return {name: value[fold] for name, value in statistics.items() if isinstance(value, Tensor)}


def _scored(data: EvalSet, fitted: list[Empirical], way: Ensemble) -> dict[str, float]:
    parts = []
    for batch in data.batches:
        generator = torch.Generator().manual_seed(_SEED)
        parts.append(Scores.of(way(batch, fitted[int(batch["member"][0])], generator), batch["motion"]))
    return Scores.joined(parts).summary()


def _truth(batch: Batch, known: Empirical, generator: torch.Generator) -> Tensor:
    return batch["motion"][:, None]


def _given_alone(batch: Batch, known: Empirical, generator: torch.Generator) -> Tensor:
    """Nothing above 1 Hz."""
    return lowpass(batch["motion"])[:, None]


def _white(batch: Batch, known: Empirical, generator: torch.Generator) -> Tensor:
    """White noise above 1 Hz, with the energy that a regression expects."""
    given = lowpass(batch["motion"])
    noise = highpart(torch.randn(len(given), _COUNT, given.shape[-1], generator=generator))
    level = _total_level(batch, known, generator).exp() * rms(given)[:, None]
    return given[:, None] + noise / rms(noise)[..., None] * level[..., None]


def _mean_envelope(batch: Batch, known: Empirical, generator: torch.Generator) -> Tensor:
    """Levels of the six-band regression, and the mean shape of training whatever is given."""
    given = lowpass(batch["motion"])
    mean = known.levels.mean_of(features_of(given, batch["metadata"]))
    noise = torch.randn(len(given), _COUNT, NUM_BANDS, generator=generator)
    level = mean[:, None] + noise @ known.levels.factor.T
    shape = known.shape.expand(*level.shape, -1)
    return given[:, None] + highpart(filled_with_noise(given, level, shape, known.spectrum, generator=generator))


def _oracle_hybrid(batch: Batch, known: Empirical, generator: torch.Generator) -> Tensor:
    """Noise under the envelope of what is given, with the true energy above 1 Hz."""
    motion = batch["motion"]
    true = (rms(highpart(motion)) / rms(lowpass(motion))).log()
    return _hybrid(batch, known, true[:, None].expand(-1, _COUNT), generator)


def _fair_hybrid(batch: Batch, known: Empirical, generator: torch.Generator) -> Tensor:
    """The same with the energy of a regression and its spread."""
    return _hybrid(batch, known, _total_level(batch, known, generator), generator)


def _hybrid(batch: Batch, known: Empirical, total: Tensor, generator: torch.Generator) -> Tensor:
    given = lowpass(batch["motion"])
    shape = 0.5 * frames_of(half_power(torch.fft.rfft(given))).clamp(min=1e-30).log()
    shape = shape[:, None, None].expand(-1, _COUNT, NUM_BANDS, -1)
    level = total[..., None] + known.balance
    return given[:, None] + highpart(filled_with_noise(given, level, shape, known.spectrum, generator=generator))


def _total_level(batch: Batch, known: Empirical, generator: torch.Generator) -> Tensor:
    """[records, count] ln RMS above 1 Hz over that below."""
    mean = known.total.mean_of(features_of(lowpass(batch["motion"]), batch["metadata"]))
    return mean + torch.randn(len(mean), _COUNT, generator=generator) * known.total.factor[0, 0]


def _sibling(data: EvalSet) -> dict[str, float]:
    """The part above 1 Hz of another component of the same event and station, at the same time, where there is one."""
    parts = []
    for batch in data.batches:
        has = batch["sibling"].any(dim=-1)
        if bool(has.any()):
            motion, other = batch["motion"][has], batch["sibling"][has]
            parts.append(Scores.of((lowpass(motion) + highpart(other))[:, None], motion))
    return Scores.joined(parts).summary() if parts else {}
