"""Who and what is trained on, and who and what is kept for frozen sets: nothing is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from distsys.domains.draws import hashes

Part = Literal["train", "validation", "test"]

_VALIDATION_SHARE, _TEST_SHARE = 0.06, 0.1
"""Of speakers."""
_HELD_SHARE = 0.1
"""Of noises and of rooms, for validation and for testing each."""


def split_speakers(names: Sequence[str], *, least: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Disjoint training, validation and test speakers; at least ``least`` each for the latter two."""
    shuffled = [names[number] for number in _order(len(names), seed)]
    validation, test = (max(least, round(share * len(names))) for share in (_VALIDATION_SHARE, _TEST_SHARE))
    return (
        sorted(shuffled[validation + test :]),
        sorted(shuffled[:validation]),
        sorted(shuffled[validation : validation + test]),
    )


def split_places(count: int, *, seed: int) -> dict[Part, np.ndarray]:
    """Which of ``count`` noises or rooms belong to each part."""
    order = _order(count, seed)
    kept = max(1, round(_HELD_SHARE * count)) if count else 0
    return {"test": order[:kept], "validation": order[kept : 2 * kept], "train": order[2 * kept :]}


def _order(count: int, seed: int) -> np.ndarray:
    return np.argsort(hashes(range(count), seed=seed, num_lanes=1)[:, 0])
