"""Voices, noise and rooms, and who of them is for training and who for frozen sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from distsys.domains.draws import hashes
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.corpus import Voices, split_speakers
from distsys.domains.speaker_extraction.recordings import LEAST_SPEAKERS, Faults, read_noise, read_rooms, read_speakers
from distsys.domains.speaker_extraction.synthetic import synthetic_voices
from distsys.errors import DataError

_NOISE_HELD_SHARE = 0.2


@dataclass(frozen=True)
class Material:
    """Everything mixtures are made of, already split."""

    train: Voices
    validation: Voices
    test: Voices
    holdout: Voices
    train_noise: Voices
    test_noise: Voices
    rooms: np.ndarray | None
    source: str
    left_out: tuple[str, ...]


def gather_material(data: DataConfig, *, seed: int) -> Material:
    """Everything that ``data`` names, read or made, and dealt to training and frozen sets.

    Raises:
        DataError: a recording or a folder is at fault, or too few speakers are left to train on.
    """
    faults = Faults(data.speakers or data.noise or data.rooms or Path())
    if data.speakers is None:
        voices: Voices = synthetic_voices(
            data.synthetic_speakers, seconds=data.synthetic_s, sample_rate_hz=data.sample_rate_hz, seed=seed
        )
        source = "synthetic voices"
    else:
        voices, source = read_speakers(data, faults), str(data.speakers)
    noise, rooms = read_noise(data, faults), read_rooms(data, faults)
    if data.on_fault == "refuse":
        faults.require_none()
    held = [name for name in voices if data.holdout is not None and fnmatch(name, data.holdout)]
    if len(voices) - len(held) < LEAST_SPEAKERS:
        raise DataError(
            f"{source}: {len(voices) - len(held)} speakers besides data.holdout",
            expected=f"at least {LEAST_SPEAKERS}: validation and test want speakers of their own",
        )
    train, validation, test = split_speakers([name for name in voices if name not in held], seed=seed)
    order = [list(noise)[number] for number in np.argsort(hashes(range(len(noise)), seed=seed, num_lanes=1)[:, 0])]
    kept = max(1, round(_NOISE_HELD_SHARE * len(noise))) if noise else 0
    return Material(
        train=_only(voices, train),
        validation=_only(voices, validation),
        test=_only(voices, test),
        holdout=_only(voices, held),
        train_noise=_only(noise, order[kept:]),
        test_noise=_only(noise, order[:kept]),
        rooms=rooms,
        source=source,
        left_out=tuple(line.splitlines()[0] for line in faults.lines),
    )


def _only(voices: Voices, names: Sequence[str]) -> dict[str, Sequence[np.ndarray]]:
    return {name: voices[name] for name in names}
