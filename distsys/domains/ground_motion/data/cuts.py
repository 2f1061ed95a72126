"""Windows cut from chosen motions, with what is known of each: for statistics, and frozen to judge on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distsys.domains.draws import uniforms
from distsys.domains.ground_motion.data.levels import features_of
from distsys.domains.ground_motion.data.operators import WINDOW, lowpass
from distsys.domains.ground_motion.data.records import Record
from distsys.domains.ground_motion.data.windows import Motion
from distsys.domains.protocol import Batch

_CODE = re.compile(r"^([A-Z0-9]{2}|--)\.")
ROUNDS = 4
"""Windows of each training record that levels are regressed on; the last of them as if nothing else were known."""


@dataclass(frozen=True)
class Cut:
    """Windows of one member's training records, round by round.

    Args:
        motion: [windows, time] in g.
        features: [windows, features], see :func:`levels.features_of`; in the last round metadata are hidden.
        events, networks: [windows] numbers, and what :func:`network_of` says.
    """

    motion: Tensor
    features: Tensor
    events: np.ndarray
    networks: np.ndarray

    @classmethod
    def of(cls, motions: Sequence[Motion], events: np.ndarray, chosen: np.ndarray, *, seed: int) -> Cut:
        """Four windows of each of the chosen motions."""
        cut = windows_of(motions, chosen, ROUNDS, seed=seed)
        metadata = cut["metadata"].clone()
        metadata[-(len(metadata) // ROUNDS) :] = torch.nan
        features = features_of(lowpass(cut["motion"]), metadata)
        networks = np.array([network_of(motions[index].record) for index in chosen])
        return cls(cut["motion"], features, events[np.tile(chosen, ROUNDS)], np.tile(networks, ROUNDS))

    @property
    def first_round(self) -> Tensor:
        """One window [records, time] of each record."""
        return self.motion[: len(self.motion) // ROUNDS]


def network_of(record: Record) -> str:
    """The code that a station's name begins with (``CI.CCC``); records without one are of a network by source."""
    found = _CODE.match(record.station)
    return found[1] if found else record.source


def windows_of(motions: Sequence[Motion], chosen: np.ndarray, rounds: int, *, seed: int) -> Batch:
    """``motion`` [windows, time] and ``metadata`` [windows, known] of ``rounds`` windows of each chosen motion."""
    place = uniforms(chosen, seed=seed, num_lanes=rounds)
    windows = [motions[index].window(place[row, turn]) for turn in range(rounds) for row, index in enumerate(chosen)]
    metadata = np.array(
        [motions[index].record.metadata.row() for _ in range(rounds) for index in chosen], dtype=np.float32
    )
    return {"motion": torch.from_numpy(np.stack(windows)), "metadata": torch.from_numpy(metadata)}


def siblings_of(motions: Sequence[Motion], chosen: np.ndarray, *, seed: int) -> Tensor:
    """[chosen, time] of another component of each station, where :func:`windows_of` cuts its first round; 0 without."""
    place = uniforms(chosen, seed=seed, num_lanes=1)[:, 0]
    found = np.zeros((len(chosen), WINDOW), dtype=np.float32)
    stations: dict[tuple[str, str], list[Motion]] = {}
    for motion in motions:
        stations.setdefault((motion.record.event, motion.record.station), []).append(motion)
    for row, index in enumerate(chosen):
        itself, start = motions[index], motions[index].start(place[row])
        for other in stations[itself.record.event, itself.record.station]:
            if other is not itself and len(other.samples) >= start + WINDOW:
                found[row] = other.samples[start : start + WINDOW]
                break
    return torch.from_numpy(found)
