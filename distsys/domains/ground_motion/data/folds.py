"""Who learns from which event and who is judged on it; records that nearly repeat each other belong to one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distsys.domains.draws import hashes
from distsys.domains.ground_motion.config import NUM_FOLDS
from distsys.domains.ground_motion.data.earthquakes import Named, merged
from distsys.domains.ground_motion.data.operators import WINDOW
from distsys.domains.ground_motion.data.windows import Motion

_NEAR_COPY = 0.8
"""Largest correlation over all shifts between records of different events that are really one."""
_MIDDLE = 0.5
_LEAST_TO_CHOOSE_ON = 2
"""Events of a fold's validation: with one alone, nothing could be shuffled between events."""


@dataclass(frozen=True)
class Fold:
    """Indices of motions.

    Args:
        train: what the member learns from.
        validation: what trials and checkpoints are chosen on.
        test: events of this fold; no member but this one may answer for them.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def event_numbers(motions: Sequence[Motion]) -> np.ndarray:
    """[motions], the number of each one's earthquake: by its name, and those that share a near copy are one."""
    named = [Named(motion.record.source, motion.record.event) for motion in motions]
    group_of = {name: index for index, group in enumerate(merged(sorted(named))) for name in group}
    number = np.array([group_of[name] for name in named])
    for one, other in _near_copies(motions):
        if number[one] != number[other]:
            number[number == number[other]] = number[one]
    return np.unique(number, return_inverse=True)[1]


def _near_copies(motions: Sequence[Motion]) -> list[tuple[int, int]]:
    windows = np.stack([motion.window(_MIDDLE) for motion in motions]).astype(np.float64)
    windows /= np.linalg.norm(windows, axis=1, keepdims=True)
    spectra = np.fft.rfft(windows, 2 * WINDOW)
    found = []
    for one in range(len(motions) - 1):
        shifted = np.fft.irfft(spectra[one + 1 :] * spectra[one].conj(), 2 * WINDOW)
        for offset in np.flatnonzero(np.abs(shifted).max(axis=1) > _NEAR_COPY):
            found.append((one, one + 1 + int(offset)))
    return found


def split(events: np.ndarray, *, validation_share: float, seed: int) -> list[Fold]:
    """Four folds by event, as even in records as can be; of each one's training events, some to choose on."""
    numbers, counts = np.unique(events, return_counts=True)
    draw = hashes(numbers, seed=seed, num_lanes=1)[:, 0]
    order = np.lexsort((draw, -counts))
    fold_of, load = {}, [0] * NUM_FOLDS
    for place in order:
        lightest = int(np.argmin(load))
        fold_of[int(numbers[place])] = lightest
        load[lightest] += int(counts[place])
    fold = np.array([fold_of[int(event)] for event in events])
    return [_fold(events, fold, number, validation_share, seed) for number in range(NUM_FOLDS)]


def _fold(events: np.ndarray, fold: np.ndarray, number: int, share: float, seed: int) -> Fold:
    others = np.unique(events[fold != number])
    order = others[np.argsort(hashes(others, seed=seed + 1 + number, num_lanes=1)[:, 0])]
    kept: list[int] = []
    wanted, count = share * (fold != number).sum(), 0
    for event in order:
        size = int((events == event).sum())
        if len(kept) < _LEAST_TO_CHOOSE_ON or count + size <= 1.5 * wanted:
            kept.append(event)
            count += size
        if len(kept) >= _LEAST_TO_CHOOSE_ON and count >= wanted:
            break
    chosen = np.isin(events, kept) & (fold != number)
    index = np.arange(len(events))
    return Fold(index[(fold != number) & ~chosen], index[chosen], index[fold == number])
