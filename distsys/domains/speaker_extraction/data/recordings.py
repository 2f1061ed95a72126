"""Recordings in a folder, each at the rate that is wanted or with what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.data.cleaning import RUMBLE_HZ, cleaned
from distsys.errors import DataError
from distsys.signals.audio import SUFFIXES, read_audio, rms_about_mean
from distsys.signals.resampling import resampled

_LEAST_S = 0.5
_LEAST_BAND = 0.01
"""RMS within the config's band beside that of the whole file, -40 dB: what is left is the resampler's own."""
_OTHER_SUFFIXES = (".aac", ".m4a", ".wma")


def require_folder(path: Path, what: str) -> Path:
    """``path``, if it is a folder.

    Raises:
        DataError: it is none.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder", expected=f"a folder with {what}")
    return path


def audio_files(folder: Path, faults: Faults) -> list[Path]:
    """Recordings below ``folder``; other kinds of audio are noted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if path.suffix.lower() in _OTHER_SUFFIXES:
            faults.add(f"{path}: a {path.suffix} file", fix=f"ffmpeg -i {path.name} {path.stem}.wav, or remove it")
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def read_recording(
    path: Path,
    rate_hz: int,
    faults: Faults,
    *,
    least_s: float = _LEAST_S,
    may_clip: bool = False,
    is_sound: bool = True,
) -> np.ndarray | None:
    """Samples [time] of one file at ``rate_hz``, or None after its fault was noted; a sound is cleaned."""
    try:
        samples, file_hz = read_audio(path, may_clip=may_clip)
        _require_enough(path, samples, file_hz, rate_hz, least_s=least_s)
        if not is_sound:
            return resampled(samples, up=rate_hz, down=file_hz)
        return _in_band(path, samples, cleaned(samples, file_hz=file_hz, rate_hz=rate_hz), rate_hz)
    except DataError as error:
        faults.note(error)
        return None


def _require_enough(path: Path, samples: np.ndarray, file_hz: int, rate_hz: int, *, least_s: float) -> None:
    if file_hz < rate_hz:
        raise DataError(
            f"{path}: {file_hz} Hz beside data.sample_rate_hz {rate_hz}: its missing band would give the speaker away",
            fix=f"set data.sample_rate_hz to {file_hz}, or leave the file out",
        )
    if len(samples) < least_s * file_hz:
        raise DataError(
            f"{path}: lasts {len(samples) / file_hz:.2f} s",
            fix=f"leave it out: recordings need at least {least_s:g} s",
        )


def _in_band(path: Path, samples: np.ndarray, result: np.ndarray, rate_hz: int) -> np.ndarray:
    if rms_about_mean(result) < _LEAST_BAND * rms_about_mean(samples):
        raise DataError(
            f"{path}: holds nothing from {RUMBLE_HZ:g} to {rate_hz // 2} Hz",
            fix="leave it out, or raise data.sample_rate_hz",
        )
    return result
