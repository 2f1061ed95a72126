"""What no model changes about a frozen set, found once: MUSIC without a network, and the Cramer-Rao bound.

Everything is kept on the CPU, so that it can be handed to other processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distsys.config.reuse import reused
from distsys.domains.protocol import EvalSet
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.model.localizer import localizer_of
from distsys.domains.ris_localization.score.bound import deviations_of

_CPU = torch.device("cpu")


def raw_peaks(data: DataConfig, frozen: EvalSet) -> Sequence[Tensor]:
    """What MUSIC finds on the sample covariance, (u, v, q) [scenes, sources, 3] of each batch of ``frozen``."""
    return _where_asked(_raw_peaks(data, frozen=frozen.to(_CPU)), frozen)


def deviations(data: DataConfig, frozen: EvalSet) -> Sequence[Tensor]:
    """Cramer-Rao bounds of phi in rad, theta in rad and r in m, [scenes, sources, 3] of each batch of ``frozen``."""
    return _where_asked(_deviations(data, frozen=frozen.to(_CPU)), frozen)


@reused
def _raw_peaks(data: DataConfig, *, frozen: EvalSet) -> Sequence[Tensor]:
    return [localizer_of(data).raw_peaks(batch) for batch in frozen.batches]


@reused
def _deviations(data: DataConfig, *, frozen: EvalSet) -> Sequence[Tensor]:
    return [deviations_of(data, batch) for batch in frozen.batches]


def _where_asked(found: Sequence[Tensor], frozen: EvalSet) -> Sequence[Tensor]:
    return [values.to(batch["uvq"].device) for values, batch in zip(found, frozen.batches, strict=True)]
