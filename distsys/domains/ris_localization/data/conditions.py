"""Conditions that the scenes of a frozen batch have in common: SNR, coherence, number of snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig

Part = Literal["validation", "test"]
"""A frozen set."""
COHERENT, INDEPENDENT = 1.0, 0.0
"""Correlation of the sources' signals."""
_FEW = 2
"""Up to so many snapshots the name of a condition says how many."""


@dataclass(frozen=True)
class Condition:
    """What is fixed in a set of scenes; None is drawn as for training.

    Args:
        snr_db: per element and source.
        correlation: between the signals of sources, 0 to 1.
        num_snapshots: of every scene.
    """

    snr_db: float | None = None
    correlation: float | None = None
    num_snapshots: int | None = None


ALL_DRAWN = Condition()
"""That of training scenes."""


def conditions_of(data: DataConfig, *, part: Part) -> Sequence[Condition]:
    """Coherent sources at three SNRs, and independent ones; for ``test`` a lower SNR and few snapshots too."""
    most = data.num_snapshots
    coherent = [Condition(snr, COHERENT, most) for snr in (0.0, 10.0, 20.0)]
    usual = [*coherent, Condition(10.0, INDEPENDENT, most)]
    if part == "validation":
        return usual
    few = [Condition(10.0, COHERENT, number) for number in (2, 1) if number < most]
    return [Condition(-5.0, COHERENT, most), *usual, *few]


def condition_name(batch: Batch) -> str:
    """What the scenes of a frozen batch have in common, such as snr10 or snr10_independent or snr10_l1."""
    name = f"snr{float(batch['snr_db'][0]):g}"
    if not is_coherent(batch):
        name += "_independent"
    num_snapshots = int(batch["num_snapshots"][0])
    return f"{name}_l{num_snapshots}" if num_snapshots <= _FEW else name


def is_coherent(batch: Batch) -> bool:
    """Whether the sources of a frozen batch send one signal."""
    return float(batch["correlation"][0]) == COHERENT
