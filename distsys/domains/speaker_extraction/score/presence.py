"""Whether the speaker asked for is there, told by how much quieter than the mixture the estimate is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distsys.shapes import Bool, Float

_FALSE_ALARM = 0.05
"""Share of absent speakers taken for present ones at which misses are counted."""


@dataclass(frozen=True)
class Roc:
    """What a threshold on the level drop does: an estimate that is quieter by less is taken for a present speaker.

    Args:
        threshold_db: [thresholds] rising, from -infinity (nobody is there) on.
        false_alarm: [thresholds] share of absent speakers taken for present.
        miss: [thresholds] share of present speakers taken for absent.
    """

    threshold_db: Float[Tensor, " thresholds"]
    false_alarm: Float[Tensor, " thresholds"]
    miss: Float[Tensor, " thresholds"]

    @classmethod
    def of(cls, drop_db: Float[Tensor, " queries"], present: Bool[Tensor, " queries"]) -> Self:
        """The curve of queries for present and for absent speakers, at least one of each."""
        drop_db = drop_db.double()
        start = drop_db.new_full((1,), -torch.inf)
        threshold = torch.cat((start, drop_db.unique()))
        below = [_share_up_to(drop_db[chosen], threshold) for chosen in (~present, present)]
        return cls(threshold, below[0], 1.0 - below[1])

    def summary(self) -> dict[str, float]:
        """``presence_auc`` (1 is right, 0.5 chance), the rate at which both mistakes are as frequent and the threshold
        for it, and misses at 5 % false alarms."""
        equal = int((self.false_alarm - self.miss).abs().argmin())
        allowed = self.miss[self.false_alarm <= _FALSE_ALARM]
        return {
            "presence_auc": float(torch.trapezoid(1.0 - self.miss, self.false_alarm)),
            "presence_equal_error": float(0.5 * (self.false_alarm[equal] + self.miss[equal])),
            "presence_threshold_db": float(self.threshold_db[max(equal, 1)]),
            "presence_miss_at_5pct": float(allowed.min()),
        }


def _share_up_to(values: Tensor, thresholds: Tensor) -> Tensor:
    """Share of ``values`` at or below each of ``thresholds``."""
    return torch.searchsorted(values.sort().values, thresholds, right=True) / len(values)
