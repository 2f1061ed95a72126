"""Frozen sets by condition, and endless training scenes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, partial

import torch

from distsys.domains.protocol import Batch, DataBundle, EvalSet
from distsys.domains.ris_localization.baselines import baseline_rows
from distsys.domains.ris_localization.config import Config, DataConfig
from distsys.domains.ris_localization.estimate import localizer
from distsys.domains.ris_localization.scenes import Condition, SceneSource

_SETS = {"train": 0, "validation": 1, "test": 2}
COHERENT, INDEPENDENT = 1.0, 0.0


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Training scenes and frozen sets for ``config``; no scene of one is a scene of another."""
    data = config.data
    return DataBundle(
        train=SceneSource(data, data.assumed_steering(), seed=_seed(seed, "train")),
        validation=_frozen(data, _validation_conditions(data), data.validation_scenes, seed=_seed(seed, "validation")),
        test=_frozen(data, _test_conditions(data), data.test_scenes, seed=_seed(seed, "test")),
        ranges={
            "phi": (-data.max_phi_deg, data.max_phi_deg, "deg"),
            "theta": (-data.max_theta_deg, data.max_theta_deg, "deg"),
            "range": (data.min_range_m, data.max_range_m, "m"),
            "snr": (data.min_snr_db, data.max_snr_db, "dB"),
        },
        provenance={
            "source": "simulated",
            "steering assumed": data.steering,
            "steering of the frozen sets": data.world,
            "validation_scenes": data.validation_scenes * len(_validation_conditions(data)),
            "test_scenes": data.test_scenes * len(_test_conditions(data)),
            "licence": "Apache-2.0",
        },
    )


def _seed(seed: int, part: str) -> int:
    return len(_SETS) * seed + _SETS[part]


def _validation_conditions(data: DataConfig) -> list[Condition]:
    most = data.num_snapshots
    coherent = [Condition(snr, COHERENT, most) for snr in (0.0, 10.0, 20.0)]
    return [*coherent, Condition(10.0, INDEPENDENT, most)]


def _test_conditions(data: DataConfig) -> list[Condition]:
    most = data.num_snapshots
    few = [Condition(10.0, COHERENT, number) for number in (2, 1) if number < most]
    return [Condition(-5.0, COHERENT, most), *_validation_conditions(data), *few]


def _frozen(data: DataConfig, conditions: Sequence[Condition], num_scenes: int, *, seed: int) -> EvalSet:
    batches: list[Batch] = []
    for number, condition in enumerate(conditions):
        source = SceneSource(data, data.true_steering(), seed=seed, condition=condition)
        batch = source.batch(range(number * num_scenes, (number + 1) * num_scenes), progress=0.0)
        # What MUSIC finds without a network never changes: found once, compared with at every validation.
        batches.append({**batch, "raw_uvq": localizer(data).raw_peaks(batch)})
    rows = cache(partial(baseline_rows, data, batches))
    return EvalSet(batches, _digest(batches), baselines=rows)


def _digest(batches: Sequence[Batch]) -> str:
    content = hashlib.sha256()
    for batch in batches:
        content.update(torch.view_as_real(batch["snapshots"]).numpy().tobytes())
        content.update(batch["uvq"].numpy().tobytes())
    return content.hexdigest()[:16]
