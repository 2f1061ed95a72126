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
        """Everything there is to hear, by name."""
        return {name: getattr(self, name) for name in ("mixture", "enrolment", "target", "estimate")}


def chosen_examples(batches: Sequence[Batch], estimates: Sequence[Tensor], scores: Scores) -> list[Example]:
    """The queries of median and of least gain, and the absent one that is loudest.

    Args:
        estimates: [batch, queries, time] for each of ``batches``.
        scores: of all of them.
    """
    present = scores.present.nonzero()[:, 0]
    order = present[scores.gained[present].argsort()]
    picked = {"median": int(order[len(order) // 2]), "worst": int(order[0])}
    absent = (~scores.present).nonzero()[:, 0]
    if len(absent):
        picked["loudest absent"] = int(absent[scores.drop[absent].argmin()])
    return [_example(batches, estimates, label, number) for label, number in picked.items()]


def _example(batches: Sequence[Batch], estimates: Sequence[Tensor], label: str, number: int) -> Example:
    """The query with this ``number`` among all of ``batches``."""
    for batch, estimate in zip(batches, estimates, strict=True):
        count, queries = batch["asked"].numel(), batch["asked"].shape[1]
        if number < count:
            break
        number -= count
    item, query = divmod(number, queries)
    sounds = batch["mixture"][item], batch["enrolment"][item, query], target_of(batch)[item, query]
    return Example(label, *(sound.cpu().numpy().copy() for sound in (*sounds, estimate[item, query])))
