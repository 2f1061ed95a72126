"""What a batch of mixtures is asked: how many speakers of each mixture, which, and what the right answer is."""

from __future__ import annotations

from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.shapes import Bool, Float

NUM_QUERIES = 2
"""Each mixture is asked for two speakers, so that the work of its first layers is shared."""
ABSENT = -1
"""In place of the index of a source, where the speaker asked for is not in the mixture."""
GROUPS = ("", "holdout", "noisy", "librimix")
"""Of a frozen set: speakers like those of training, those of ``data.holdout``, mixtures with noise, and Libri2Mix."""


def present_in(batch: Batch) -> Bool[Tensor, "batch queries"]:
    """Which queries are for a speaker of the mixture."""
    return batch["asked"] >= 0


def target_of(batch: Batch) -> Float[Tensor, "batch queries time"]:
    """What each query wants: a source of the mixture, or silence."""
    sources, asked = batch["sources"], batch["asked"]
    index = asked.clamp(min=0)[..., None].expand(*asked.shape, sources.shape[-1])
    return sources.gather(1, index) * (asked >= 0)[..., None]


def group_of(batch: Batch) -> str:
    """The group that all mixtures of a frozen ``batch`` belong to."""
    return GROUPS[int(batch["group"][0])]
