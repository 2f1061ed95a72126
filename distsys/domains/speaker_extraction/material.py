"""Voices, noise and rooms, and who of them is for training and who for frozen sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from distsys.domains.draws import hashes
from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.corpus import Voices, split_speakers
from distsys.domains.speaker_extraction.recordings import read_noise, read_rooms, read_speakers
from distsys.domains.speaker_extraction.synthetic import synthetic_voices
from distsys.errors import DataError

Part = Literal["train", "validation", "test"]

_HELD_SHARE = 0.1
"""Of noises and of rooms, for validation and for testing each."""
_LEAST_SPEAKERS = 4
"""In every set, or more where mixtures hold more."""


@dataclass(frozen=True)
class Material:
    """Everything mixtures are made of, already split; noise and rooms are those of a part alone."""

    train: Voices
    validation: Voices
    test: Voices
    holdout: Voices
    noise: Mapping[Part, Voices]
    rooms: Mapping[Part, np.ndarray] | None
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
        source, held = "synthetic voices", []
    else:
        speakers, source = read_speakers(data, faults), str(data.speakers)
        voices, held = speakers.voices, [name for name in speakers.voices if name in speakers.held]
    if data.on_fault == "refuse":
        faults.require_none()
    noise, rooms = read_noise(data, faults), read_rooms(data, faults)
    if data.on_fault == "refuse":
        faults.require_none()
    least = max(_LEAST_SPEAKERS, 2 + data.max_interferers)
    _require_speakers(len(voices) - len(held), len(held), least, data, source, faults)
    train, validation, test = split_speakers([name for name in voices if name not in held], least=least, seed=seed)
    places = _parts(len(noise), seed)
    return Material(
        train=_only(voices, train),
        validation=_only(voices, validation),
        test=_only(voices, test),
        holdout=_only(voices, held),
        noise={part: _only(noise, [list(noise)[place] for place in places[part]]) for part in places},
        rooms=None if rooms is None else {part: rooms[chosen] for part, chosen in _parts(len(rooms), seed).items()},
        source=source,
        left_out=tuple(line.splitlines()[0] for line in faults.lines),
    )


def _require_speakers(others: int, held: int, least: int, data: DataConfig, source: str, faults: Faults) -> None:
    reason = f"; {faults.told()}" if faults.lines else ""
    if others < 3 * least:
        raise DataError(
            f"{source}: {others} speakers besides data.holdout{reason}",
            expected=f"at least {3 * least}: {least} each for training, validation and test",
        )
    if data.holdout is not None and held < least:
        raise DataError(
            f"{source}: {held} speakers in data.holdout '{data.holdout}'{reason}",
            expected=f"at least {least}: those of a mixture and an absent one are different",
        )


def _parts(count: int, seed: int) -> dict[Part, np.ndarray]:
    """Which of ``count`` things belong to each part; nothing is shared."""
    order = np.argsort(hashes(range(count), seed=seed, num_lanes=1)[:, 0])
    kept = max(1, round(_HELD_SHARE * count)) if count else 0
    return {"test": order[:kept], "validation": order[kept : 2 * kept], "train": order[2 * kept :]}


def _only(voices: Voices, names: Sequence[str]) -> dict[str, Sequence[np.ndarray]]:
    return {name: voices[name] for name in names}
