"""Frozen windows of every fold, which its member is judged on; no setting of a model changes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from distsys.config.reuse import reused
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.cuts import Cut, siblings_of, windows_of
from distsys.domains.ground_motion.data.folds import Fold, split
from distsys.domains.ground_motion.data.gathering import Gathered, gathered
from distsys.domains.kit import part_seed
from distsys.domains.protocol import Batch, EvalSet

_PARTS = ("train", "cuts", "validation", "test")


@reused
def folds_of(data: DataConfig, *, seed: int) -> list[Fold]:
    """Who learns from which motion of ``data``, and who is judged on it."""
    return split(gathered(data, seed=seed).events, validation_share=data.validation_share, seed=seed)


@reused
def training_cuts(data: DataConfig, *, seed: int) -> list[Cut]:
    """Windows of every member's training records, which its statistics are those of."""
    found, place = gathered(data, seed=seed), seed_of("cuts", seed)
    return [Cut.of(found.motions, found.events, fold.train, seed=place) for fold in folds_of(data, seed=seed)]


@reused
def validation_set(data: DataConfig, *, seed: int) -> EvalSet:
    """What trials and checkpoints are chosen on: events that the answering member neither learns nor is tested on."""
    chosen = [fold.validation for fold in folds_of(data, seed=seed)]
    place = seed_of("validation", seed)
    return EvalSet(_batches(gathered(data, seed=seed), chosen, data.validation_samples, seed=place))


@reused
def test_set(data: DataConfig, *, seed: int) -> EvalSet:
    """All motions, each for the member of its fold, with what that member learned from to look for copies."""
    chosen = [fold.test for fold in folds_of(data, seed=seed)]
    batches = _batches(gathered(data, seed=seed), chosen, data.test_samples, seed=seed_of("test", seed))
    return EvalSet(batches, reference=_reference(training_cuts(data, seed=seed)))


def seed_of(part: str, seed: int) -> int:
    """Of the draws for one part of the data."""
    return part_seed(seed, part, parts=_PARTS)


def _reference(cuts: Sequence[Cut]) -> Batch:
    """Training windows of every member, the first of each record."""
    motions = [cut.first_round for cut in cuts]
    return {
        "motion": torch.cat(motions),
        "member": torch.cat([torch.full((len(motion),), fold) for fold, motion in enumerate(motions)]),
    }


def _batches(found: Gathered, chosen: Sequence[np.ndarray], samples: int, *, seed: int) -> list[Batch]:
    """One batch a member, of one window of each motion that it is judged on."""
    return [
        {
            **windows_of(found.motions, indices, 1, seed=seed),
            "member": torch.full((len(indices),), member),
            "event": torch.from_numpy(found.events[indices]),
            "sibling": siblings_of(found.motions, indices, seed=seed),
            "samples": torch.full((len(indices),), samples),
        }
        for member, indices in enumerate(chosen)
    ]
