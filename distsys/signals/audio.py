"""Reading and writing recordings: finite samples that are not silence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from distsys.errors import DataError

SUFFIXES = (".flac", ".wav", ".mp3", ".ogg", ".opus", ".aif", ".aiff")
_ONE = "ffmpeg -i {name} -ac 1 {stem}_mono.wav mixes them to one"
_HEADER_BYTES = 1000
"""More than a header takes."""
SILENCE_RMS = 1e-4
"""-80 dB of full scale: below it a recording holds no speech."""
_MAX_CLIPPED_SHARE = 0.01
_CLIP_RUN = 3
"""Samples at one and the same extreme in a row that count as clipped; a single peak does not."""


def read_audio(path: Path, *, may_clip: bool = False) -> tuple[np.ndarray, int]:
    """Samples [time] of float32, +-1 being full scale, and their rate in Hz.

    Raises:
        DataError: the file is missing, damaged, empty, has several channels, is silent or is clipped.
    """
    samples, rate_hz = read_channels(path, may_clip=may_clip)
    if samples.shape[1] > 1:
        fix = _ONE.format(name=path.name, stem=path.stem)
        raise DataError(f"{path}: {samples.shape[1]} channels", expected="one channel", fix=fix)
    return np.ascontiguousarray(samples[:, 0]), rate_hz


def read_channels(path: Path, *, may_clip: bool = False) -> tuple[np.ndarray, int]:
    """The same of a file of any number of channels, [time, channels]."""
    import soundfile

    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}", expected="a recording (.wav or .flac)")
    if path.suffix.lower() not in SUFFIXES:
        fix = f"ffmpeg -i {path.name} {path.stem}.wav"
        raise DataError(f"{path}: a '{path.suffix}' file", expected=f"one of {', '.join(SUFFIXES)}", fix=fix)
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read as audio ({error})", expected="a .wav or .flac file") from None
    if len(samples) == 0 and path.stat().st_size > _HEADER_BYTES:
        raise DataError(
            f"{path}: its header says that it holds no samples, though {path.stat().st_size} bytes follow",
            expected="a header with the length, which a recorder writes when it is stopped",
            fix=f"ffmpeg -ignore_length 1 -i {path.name} {path.stem}_whole.wav",
        )
    if problem := _problem(samples, may_clip=may_clip):
        found, expected, fix = problem
        raise DataError(f"{path}: {found}", expected=expected, fix=fix)
    return samples, int(rate_hz)


def without_offset(samples: np.ndarray) -> np.ndarray:
    """``samples`` [time, ...] less their mean: a microphone's offset is no sound, and no model should meet it."""
    return samples - samples.mean(axis=0, dtype=np.float64).astype(samples.dtype)


def _problem(samples: np.ndarray, *, may_clip: bool) -> tuple[str, str, str] | None:
    """What is wrong with ``samples`` [time, channels], as (found, expected, fix); None when nothing is."""
    if len(samples) == 0:
        return "holds no samples", "a recording", "remove the file"
    if not np.isfinite(samples).all():
        return "holds NaN or infinity", "finite samples", "write the file again from its source"
    if is_silent(samples):
        return (
            f"is silent (RMS {rms_about_mean(samples):.1e} of full scale)",
            f"an RMS above {SILENCE_RMS:g}",
            "remove or amplify it",
        )
    if not may_clip and (share := clipped_share(samples)) > _MAX_CLIPPED_SHARE:
        return f"{share:.1%} of its samples are clipped", f"at most {_MAX_CLIPPED_SHARE:.0%}", "record at a lower level"
    return None


def is_silent(samples: np.ndarray) -> bool:
    """Whether ``samples`` hold no speech; a constant offset is none."""
    return rms_about_mean(samples) < SILENCE_RMS


def rms_about_mean(samples: np.ndarray) -> float:
    """Root mean square without the constant part."""
    return float(np.std(samples, dtype=np.float64))


def clipped_share(samples: np.ndarray) -> float:
    """Share of samples [time, channels] that lie in a run of at least three at the recording's own extreme value."""
    level = np.abs(samples).max(axis=1) if samples.ndim > 1 else np.abs(samples)
    at_peak = level >= level.max() * (1.0 - 1e-4)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], at_peak, [False])).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= _CLIP_RUN].sum() / len(samples))


def wav_bytes(samples: np.ndarray, *, rate_hz: int) -> bytes:
    """A .wav file of 32-bit floats, so that nothing clips."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
