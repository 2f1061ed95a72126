"""Gains by speaker and by condition: whom a set happens to hold moves a mean more than how many queries it has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.shapes import Float

_SIR_DB = 1.0
"""Where weak and strong targets begin, on either side of 0."""
_ROUNDS, _SEED = 1000, 20
_INTERVAL = (0.025, 0.975)
_LEAST = 5
"""Queries without which a condition has no mean."""
_SMALLEST = 1e-10
_SPECTRUM = 256


@dataclass(frozen=True)
class Conditions:
    """Of each query of a group.

    Args:
        speaker: who is asked for.
        sir_db: level of the wanted speaker against the other in dB, where two speak.
        alikeness: correlation of the long-term spectra of the mixture's first two speakers.
    """

    speaker: Sequence[str]
    sir_db: np.ndarray
    alikeness: np.ndarray

    @classmethod
    def of(cls, batches: Sequence[Batch], lines: Sequence[str]) -> Self:
        """Those of ``batches``, whose manifest has a line of ``lines`` for each mixture."""
        rows = [json.loads(line) for line in lines]
        signs = np.array([1.0, -1.0])
        return cls(
            list(chain.from_iterable(row["wanted"] for row in rows)),
            np.concatenate([row["sir_db"] * signs for row in rows]),
            np.repeat(torch.cat([alikeness(batch["sources"]) for batch in batches]).double().cpu().numpy(), len(signs)),
        )

    def summary(self, gained_db: np.ndarray, present: np.ndarray) -> dict[str, float]:
        """Mean gains by condition, over ``present`` queries, and the interval of the mean over speakers, 95 %."""
        typical = np.median(self.alikeness)
        chosen = {
            "weak target": self.sir_db < -_SIR_DB,
            "even target": np.abs(self.sir_db) <= _SIR_DB,
            "strong target": self.sir_db > _SIR_DB,
            "alike voices": self.alikeness > typical,
            "unlike voices": self.alikeness <= typical,
        }
        found = {
            f"si_sdri_db/{name}": float(gained_db[present & those].mean())
            for name, those in chosen.items()
            if np.count_nonzero(present & those) >= _LEAST
        }
        wanted = [name for name, there in zip(self.speaker, present, strict=True) if there]
        low, high = by_speaker(gained_db[present], wanted)
        return {**found, "si_sdri_low_db": low, "si_sdri_high_db": high}


def alikeness(sources: Float[Tensor, "batch speakers time"]) -> Float[Tensor, " batch"]:
    """Correlation of the first two speakers' long-term spectra in dB."""
    frames = sources[:, :2].unfold(-1, _SPECTRUM, _SPECTRUM)
    power = torch.fft.rfft(frames * torch.hann_window(_SPECTRUM, device=sources.device)).abs().square().mean(dim=2)
    spectra = torch.log10(power + _SMALLEST)
    one, other = (spectra - spectra.mean(dim=-1, keepdim=True)).unbind(1)
    return torch.nn.functional.cosine_similarity(one, other, dim=-1)


def by_speaker(values: np.ndarray, speakers: Sequence[str]) -> tuple[float, float]:
    """Bounds of the mean of ``values``, 95 %, by a bootstrap over speakers (Efron 1979) of fixed draws."""
    groups: Mapping[str, list[float]] = {name: [] for name in speakers}
    for value, name in zip(values, speakers, strict=True):
        groups[name].append(float(value))
    sums, counts = (np.array([kind(items) for items in groups.values()]) for kind in (sum, len))
    picked = np.random.default_rng(_SEED).integers(len(groups), size=(_ROUNDS, len(groups)))
    means = sums[picked].sum(axis=1) / counts[picked].sum(axis=1)
    low, high = np.quantile(means, _INTERVAL)
    return float(low), float(high)
