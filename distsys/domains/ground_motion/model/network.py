"""A committee: every member learned from the events of three folds of four and answers for those of the fourth.

So all records can be judged, each by a member that never saw its event.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from distsys.domains.ground_motion.config import NUM_FOLDS, Config, Route
from distsys.domains.ground_motion.model.broadband import DiffusedBroadband
from distsys.domains.ground_motion.model.complement import DiffusedComplement
from distsys.domains.ground_motion.model.ensemble import EnsembleEnvelopes
from distsys.domains.ground_motion.model.envelope import DiffusedEnvelopes
from distsys.domains.ground_motion.model.gaussian import GaussianEnvelopes
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.protocol import Statistics

MEMBERS: Mapping[Route, type[Member]] = {
    "gaussian": GaussianEnvelopes,
    "ensemble": EnsembleEnvelopes,
    "envelope": DiffusedEnvelopes,
    "complement": DiffusedComplement,
    "broadband": DiffusedBroadband,
}


class Committee(nn.Module):
    """One member for each fold.

    Args:
        statistics: [folds, ...] each, see :func:`statistics.statistics_of`.
    """

    def __init__(self, config: Config, statistics: Statistics) -> None:
        super().__init__()
        self.config = config
        kind = MEMBERS[config.model.route]
        self.members = nn.ModuleList(kind(config.model, _of_fold(statistics, fold)) for fold in range(NUM_FOLDS))

    def member(self, fold: int) -> Member:
        """Who never saw the events of ``fold``."""
        found = self.members[fold]
        assert isinstance(found, Member)
        return found


def _of_fold(statistics: Statistics, fold: int) -> dict[str, Tensor]:
    return {name: value[fold] for name, value in statistics.items() if isinstance(value, Tensor)}


def build_model(config: Config, statistics: Statistics) -> Committee:
    """The committee; it remembers the regression of levels and the mean spectrum of every fold."""
    return Committee(config, statistics)
