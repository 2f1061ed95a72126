"""Voices, noise and rooms, read or made once, and dealt to training and frozen sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distsys.config.reuse import reused
from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.cleaning import cleaned
from distsys.domains.speaker_extraction.data.corpus import Voices
from distsys.domains.speaker_extraction.data.speakers import Speakers, read_speakers
from distsys.domains.speaker_extraction.data.split import Part, split_sources, split_speakers
from distsys.domains.speaker_extraction.data.surroundings import read_noise, read_rooms, source_of
from distsys.domains.speaker_extraction.data.synthetic import synthetic_voices
from distsys.errors import DataError

_LEAST_SPEAKERS = 4
"""In every set, or more where mixtures hold more."""


@dataclass(frozen=True)
class Material:
    """Everything mixtures are made of, already split; noise and rooms are those of a part alone."""

    voices: Mapping[Part, Voices]
    holdout: Voices
    noise: Mapping[Part, Voices]
    rooms: Mapping[Part, np.ndarray] | None
    source: str
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Everything:
    """What a config names, not yet split."""

    source: str
    speakers: Speakers
    noise: Voices
    rooms: Mapping[str, np.ndarray] | None
    faults: Faults


@reused
def gather_material(data: DataConfig, *, seed: int) -> Material:
    """Everything that ``data`` names, read or made, and dealt to training and frozen sets.

    Raises:
        DataError: a recording or a folder is at fault, or too few speakers are left to train on.
    """
    found = _read_everything(data, seed=seed)
    voices, noise, rooms = found.speakers.voices, found.noise, found.rooms
    held = [name for name in voices if name in found.speakers.held]
    others = [name for name in voices if name not in held]
    least = max(_LEAST_SPEAKERS, 2 + data.max_interferers)
    _require_speakers(found, others=len(others), held=len(held), least=least, holdout=data.holdout)
    sides = split_speakers(others, least=least, seed=seed)
    noises = split_sources({name: source_of(name, data) for name in noise}, seed=seed)
    return Material(
        voices={part: _only(voices, names) for part, names in sides.items()},
        holdout=_only(voices, held),
        noise={part: _only(noise, names) for part, names in noises.items()},
        rooms=rooms if rooms is None else _dealt(rooms, seed=seed),
        source=found.source,
        left_out=tuple(line.splitlines()[0] for line in found.faults.lines),
    )


@reused
def _read_everything(data: DataConfig, *, seed: int) -> _Everything:
    faults = Faults(data.speakers or data.noise or data.rooms or Path())
    if data.speakers is None:
        speakers, source = Speakers(_synthetic(data, seed=seed), frozenset()), "synthetic voices"
    else:
        speakers, source = read_speakers(data, faults), str(data.speakers)
    if data.on_fault == "refuse":
        faults.require_none()
    noise, rooms = read_noise(data, faults), read_rooms(data, faults)
    if data.on_fault == "refuse":
        faults.require_none()
    return _Everything(source, speakers, noise, rooms, faults)


def _synthetic(data: DataConfig, *, seed: int) -> dict[str, list[np.ndarray]]:
    rate_hz = data.sample_rate_hz
    voices = synthetic_voices(data.synthetic_speakers, seconds=data.synthetic_s, sample_rate_hz=rate_hz, seed=seed)
    return {name: [cleaned(item, file_hz=rate_hz, rate_hz=rate_hz) for item in items] for name, items in voices.items()}


def _require_speakers(found: _Everything, *, others: int, held: int, least: int, holdout: str | None) -> None:
    reason = f"; {found.faults.summary()}" if found.faults.lines else ""
    if others < 3 * least:
        raise DataError(
            f"{found.source}: {others} speakers besides data.holdout{reason}",
            expected=f"at least {3 * least}: {least} each for training, validation and test",
        )
    if holdout is not None and held < least:
        raise DataError(
            f"{found.source}: {held} speakers in data.holdout '{holdout}'{reason}",
            expected=f"at least {least}: those of a mixture and an absent one are different",
        )


def _only(voices: Voices, names: Iterable[str]) -> Voices:
    return {name: voices[name] for name in names}


def _dealt(rooms: Mapping[str, np.ndarray], *, seed: int) -> dict[Part, np.ndarray]:
    parts = split_sources({name: name for name in rooms}, seed=seed)
    return {part: np.stack([rooms[name] for name in names]) for part, names in parts.items()}
