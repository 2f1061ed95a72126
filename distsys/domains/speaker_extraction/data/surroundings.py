"""Folders of noise recordings and of room impulse responses."""

from __future__ import annotations

import re

import numpy as np

from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.recordings import audio_files, read_recording, require_folder
from distsys.errors import DataError

_LEAST_NOISES, _LEAST_ROOMS = 3, 3


def read_noise(config: DataConfig, faults: Faults) -> dict[str, list[np.ndarray]]:
    """Every recording of the noise folder at the config's rate, by its name.

    Raises:
        DataError: the folder is missing or holds too few.
    """
    if config.noise is None:
        return {}
    found = {}
    for path in audio_files(require_folder(config.noise, "noise recordings"), faults):
        samples = read_recording(path, config.sample_rate_hz, faults, may_clip=True)
        if samples is not None:
            found[str(path.relative_to(config.noise))] = [samples]
    if len(found) < _LEAST_NOISES:
        raise DataError(
            f"{config.noise}: {len(found)} noise recordings; {faults.summary()}",
            expected=f"at least {_LEAST_NOISES}: one is kept for validation and one for testing",
        )
    if (sources := len({source_of(name, config) for name in found})) < _LEAST_NOISES:
        raise DataError(
            f"{config.noise}: {len(found)} noise recordings of {sources} sources by data.noise_source "
            f"'{config.noise_source}'",
            expected=f"at least {_LEAST_NOISES}: those of one source stay in one set",
        )
    return found


def source_of(name: str, config: DataConfig) -> str:
    """What the noise recording ``name`` is a part of: what ``data.noise_source`` finds in its name, or itself."""
    found = re.search(config.noise_source, name)
    return name if found is None else next((part for part in found.groups() if part), found[0])


def read_rooms(config: DataConfig, faults: Faults) -> dict[str, np.ndarray] | None:
    """Impulse responses [taps] by file, the direct sound first, or None when the config names no folder.

    Raises:
        DataError: the folder is missing or holds too few.
    """
    if config.rooms is None:
        return None
    found = {}
    for path in audio_files(require_folder(config.rooms, "room impulse responses"), faults):
        samples = read_recording(path, config.sample_rate_hz, faults, least_s=0.0, may_clip=True, is_sound=False)
        if samples is not None:
            found[str(path.relative_to(config.rooms))] = samples[int(np.argmax(np.abs(samples))) :]
    if len(found) < _LEAST_ROOMS:
        raise DataError(
            f"{config.rooms}: {len(found)} room impulse responses; {faults.summary()}",
            expected=f"at least {_LEAST_ROOMS} .wav or .flac files: some are kept for validation and testing",
        )
    taps = max(len(item) for item in found.values())
    return {name: np.pad(item, (0, taps - len(item))) for name, item in found.items()}
