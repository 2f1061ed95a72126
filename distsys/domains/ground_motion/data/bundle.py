"""Training windows of every fold beside the frozen ones, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from distsys.config.reuse import reused
from distsys.domains.draws import uniforms
from distsys.domains.ground_motion.config import NUM_FOLDS, Config, DataConfig
from distsys.domains.ground_motion.data.cuts import Cut
from distsys.domains.ground_motion.data.folds import Fold
from distsys.domains.ground_motion.data.frozen import folds_of, seed_of, test_set, training_cuts, validation_set
from distsys.domains.ground_motion.data.gathering import gathered, provenance_of
from distsys.domains.ground_motion.data.levels import LevelModel, levels_of
from distsys.domains.ground_motion.data.statistics import statistics_of
from distsys.domains.ground_motion.data.windows import Motion
from distsys.domains.protocol import Batch, DataBundle

_DIGITS = 16


@dataclass(frozen=True)
class WindowSource:
    """Endless training windows, each for one member; workers that take every n-th of them see all members.

    Args:
        events: [motions] number of the event of each.
        cuts: windows of each member's training records, for what is fitted without a network.
    """

    motions: Sequence[Motion]
    events: np.ndarray
    folds: Sequence[Fold]
    cuts: Sequence[Cut]
    seed: int

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """``motion`` [items, time] in g and ``member`` [items]; every event of a member comes equally often."""
        draws = uniforms(indices, seed=self.seed, num_lanes=3)
        member = _member_of(np.asarray(indices))
        windows = [self._window(int(number), draw) for number, draw in zip(member, draws, strict=True)]
        return {"motion": torch.from_numpy(np.stack(windows)), "member": torch.from_numpy(member)}

    def _window(self, member: int, draw: np.ndarray) -> np.ndarray:
        train = self.folds[member].train
        events = np.unique(self.events[train])
        records = train[self.events[train] == events[int(draw[0] * len(events))]]
        return self.motions[records[int(draw[1] * len(records))]].window(draw[2])


def _member_of(indices: np.ndarray) -> np.ndarray:
    """Sum of the digits to the base of four."""
    digits = [indices // NUM_FOLDS**place for place in range(_DIGITS)]
    return np.sum(digits, axis=0) % NUM_FOLDS


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Windows for ``config``; no event of one set of a member is an event of another set of it.

    Raises:
        DataError: a file is at fault, too few events are left, or the configured sigma_data contradicts the data.
    """
    data = config.data
    found, cuts = gathered(data, seed=seed), training_cuts(data, seed=seed)
    return DataBundle(
        train=WindowSource(found.motions, found.events, folds_of(data, seed=seed), cuts, seed_of("train", seed)),
        validation=validation_set(data, seed=seed),
        test=test_set(data, seed=seed),
        provenance=provenance_of(found, data),
        statistics=statistics_of(cuts, _level_models(data, seed=seed), config.model),
    )


@reused
def _level_models(data: DataConfig, *, seed: int) -> list[LevelModel]:
    """The regression of levels of every member."""
    cuts = training_cuts(data, seed=seed)
    return [LevelModel.fit(cut.features, levels_of(cut.motion), cut.events, cut.networks) for cut in cuts]
