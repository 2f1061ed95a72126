"""A few queries of a frozen set to listen to and to look at: a typical one, the worst, and an absent speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.speaker_extraction.data.queries import target_of
from distsys.domains.speaker_extraction.score.metrics import Scores


@dataclass(frozen=True)
class Example:
    """One query, as samples [time]."""

    label: str
    mixture: np.ndarray
    enrolment: np.ndarray
    target: np.ndarray
    estimate: np.ndarray

    def sounds(self) -> dict[str, np.ndarray]:
        """The four recordings by name."""
        return {name: getattr(self, name) for name in ("mixture", "enrolment", "target", "estimate")}


def chosen_examples(pairs: Sequence[tuple[Batch, Tensor]], scores: Scores) -> list[Example]:
    """The queries of median and of least gain, and the absent one that is loudest.

    Args:
        pairs: batches with their estimates [batch, queries, time].
        scores: of all of them.
    """
    present = scores.present.nonzero()[:, 0]
    order = present[scores.gained[present].argsort()]
    picked = {"median": int(order[len(order) // 2]), "worst": int(order[0])}
    absent = (~scores.present).nonzero()[:, 0]
    if len(absent):
        picked["loudest absent"] = int(absent[scores.drop[absent].argmin()])
    return [_example(pairs, label, number) for label, number in picked.items()]


def _example(pairs: Sequence[tuple[Batch, Tensor]], label: str, number: int) -> Example:
    """The query with this ``number`` among all of ``pairs``."""
    place = 0
    while number >= pairs[place][0]["asked"].numel():
        number -= pairs[place][0]["asked"].numel()
        place += 1
    batch, estimate = pairs[place]
    item, query = divmod(number, batch["asked"].shape[1])
    sounds = batch["mixture"][item], batch["enrolment"][item, query], target_of(batch)[item, query]
    # Copied: views would hold on to whole batches.
    return Example(label, *(sound.cpu().numpy().copy() for sound in (*sounds, estimate[item, query])))
