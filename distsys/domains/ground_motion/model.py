"""A committee: every member learned from the events of three folds of four and answers for those of the fourth.

So all records can be judged, each by a member that never saw its event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from distsys.domains.ground_motion.config import Config
from distsys.domains.ground_motion.members import KINDS, Member

NUM_FOLDS = 4


class Committee(nn.Module):
    """One member for each fold.

    Args:
        statistics: [folds, ...] each, see :func:`data.statistics_of`.
    """

    def __init__(self, config: Config, statistics: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        kind = KINDS[config.model.route]
        self.members = nn.ModuleList(
            kind(config.model, {name: value[fold] for name, value in statistics.items()}) for fold in range(NUM_FOLDS)
        )

    def member(self, fold: int) -> Member:
        """Who never saw the events of ``fold``."""
        return cast(Member, self.members[fold])
