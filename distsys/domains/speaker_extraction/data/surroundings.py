"""Folders of noise recordings and of room impulse responses."""

from __future__ import annotations

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
    return found


def read_rooms(config: DataConfig, faults: Faults) -> np.ndarray | None:
    """Impulse responses [rooms, taps], the direct sound first, or None when the config names no folder.

    Raises:
        DataError: the folder is missing or holds too few.
    """
    if config.rooms is None:
        return None
    found = []
    for path in audio_files(require_folder(config.rooms, "room impulse responses"), faults):
        samples = read_recording(path, config.sample_rate_hz, faults, least_s=0.0, may_clip=True)
        if samples is not None:
            found.append(samples[int(np.argmax(np.abs(samples))) :])
    if len(found) < _LEAST_ROOMS:
        raise DataError(
            f"{config.rooms}: {len(found)} room impulse responses; {faults.summary()}",
            expected=f"at least {_LEAST_ROOMS} .wav or .flac files: some are kept for validation and testing",
        )
    rooms = np.zeros((len(found), max(len(item) for item in found)), dtype=np.float32)
    for row, item in zip(rooms, found, strict=True):
        row[: len(item)] = item
    return rooms
