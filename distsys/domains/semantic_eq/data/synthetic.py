"""Synthetic settings of the same shape as SAFE's, with a known structure, so that nothing has to be fetched.

Each word is a curve (mean gains and centre frequencies in u); a person adds a habit, a setting adds noise;
30 % of low-shelf gains stand on a rail, 65 % of Qs at 0.71, and one word in ten is mistyped.
"""

from __future__ import annotations

import numpy as np

from distsys.domains.semantic_eq.config import NUM_PARAMETERS
from distsys.domains.semantic_eq.data.safe_file import Table
from distsys.domains.semantic_eq.data.settings import Ranges, columns

_WORDS = {"warm": 0.34, "bright": 0.32, "airy": 0.12, "boomy": 0.12, "thin": 0.10}
_GAINS = {
    "warm": (0.72, 0.62, 0.52, 0.40, 0.30),
    "bright": (0.34, 0.42, 0.52, 0.64, 0.76),
    "airy": (0.45, 0.44, 0.48, 0.55, 0.86),
    "boomy": (0.88, 0.60, 0.46, 0.45, 0.42),
    "thin": (0.16, 0.38, 0.55, 0.58, 0.60),
}
_NUM_PEOPLE = 110
_RAIL_SHARE, _COMMON_Q_SHARE, _WRONG_WORD_SHARE = 0.30, 0.65, 0.10
_COMMON_Q_U = 0.5 * (np.log10(0.71) + 1.0)


def make_table(num_rows: int, ranges: Ranges, *, seed: int) -> Table:
    """``num_rows`` settings within ``ranges``, the same ones for the same seed."""
    random = np.random.default_rng([seed, 0x5AFE])
    person = np.minimum(random.zipf(1.4, num_rows) - 1, _NUM_PEOPLE - 1)
    word = random.choice(len(_WORDS), size=num_rows, p=list(_WORDS.values()))
    habits = random.normal(0.0, 0.05, (_NUM_PEOPLE, NUM_PARAMETERS))
    u = _word_centres()[word] + habits[person] + random.normal(0.0, 0.09, (num_rows, NUM_PARAMETERS))
    on_rail = random.random(num_rows) < _RAIL_SHARE
    u[on_rail, 0] = np.where(u[on_rail, 0] > 0.5, 1.0, 0.0)
    common = random.random((num_rows, 3)) < _COMMON_Q_SHARE
    u[:, columns("q")] = np.where(common, _COMMON_Q_U, u[:, columns("q")])
    mistyped = random.random(num_rows) < _WRONG_WORD_SHARE
    word = np.where(mistyped, random.permutation(word), word)
    names = list(_WORDS)
    provenance: dict[str, str | int | float] = {"source": "synthetic", "rows": num_rows, "licence": "Apache-2.0"}
    people = [f"p{index:03d}" for index in person]
    return Table(_physical(np.clip(u, 0.0, 1.0), ranges), people, [names[index] for index in word], provenance)


def _word_centres() -> np.ndarray:
    centres = np.full((len(_WORDS), NUM_PARAMETERS), 0.5)
    for row, gains in enumerate(_GAINS.values()):
        centres[row, columns("gain")] = gains
        centres[row, columns("freq")] = 0.35 + 0.08 * row
    return centres


def _physical(u: np.ndarray, ranges: Ranges) -> np.ndarray:
    import torch

    low, high = ([item[side] for item in ranges.parameters] for side in (2, 3))
    return np.asarray(np.clip(ranges.decode(torch.from_numpy(u)).numpy(), low, high))
