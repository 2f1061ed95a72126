"""Who learns from which event and who is judged on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distsys.domains.draws import hashes
from distsys.domains.ground_motion.config import NUM_FOLDS

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
