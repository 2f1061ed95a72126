"""Folders of recordings to voices, noises and rooms; every fault of every file is named at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import yaml

from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.audio import SUFFIXES, read_audio, resample, rms_about_mean
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.corpus import two_parts
from distsys.errors import DataError, did_you_mean

_LEAST_S = 0.5
_LEAST_NOISES, _LEAST_ROOMS = 3, 3
_LEAST_SINGLE_S = 4.0
"""Of a speaker's only recording, which is cut in two."""
_LEAST_HALF = 0.05
"""RMS of its quieter half beside the louder one, -26 dB."""
_LEAST_BAND = 0.01
"""RMS within the config's band beside that of the whole file, -40 dB: what is left is the resampler's own."""
_OTHER_SUFFIXES = (".aac", ".aif", ".aiff", ".m4a", ".mp3", ".ogg", ".opus", ".wma")


@dataclass(frozen=True)
class _Recording:
    person: str
    folder: str
    path: Path
    samples: np.ndarray


@dataclass(frozen=True)
class Speakers:
    """Who was read.

    Args:
        voices: utterances [time] of each person, two or more.
        held: persons with a folder that ``data.holdout`` matches; all their folders are held with it.
    """

    voices: dict[str, list[np.ndarray]]
    held: frozenset[str]


def read_speakers(config: DataConfig, faults: Faults) -> Speakers:
    """Every person at the config's rate; folders of one person are joined.

    What is at fault is left out and noted: files that are damaged, silent, clipped, of several channels, too short or
    of too low a rate, speakers with too little speech, recordings that stand there twice, and speakers who share a
    recording with another and may be the same person.

    Raises:
        DataError: a folder or the file of aliases is at fault.
    """
    every, folders = _speaker_folders(config)
    aliases = _read_aliases(config, [path.name for path in every])
    recordings = _recordings(folders, aliases, config.sample_rate_hz, faults)
    held = {aliases.get(path.name, path.name) for path in folders if fnmatch(path.name, config.holdout or "")}
    return Speakers(_with_enough(_without_repeats(recordings, faults), config, faults), frozenset(held))


def _with_enough(recordings: Iterable[_Recording], config: DataConfig, faults: Faults) -> dict[str, list[np.ndarray]]:
    """Two utterances or more of each person."""
    voices: dict[str, list[_Recording]] = {}
    for item in recordings:
        voices.setdefault(item.person, []).append(item)
    enough = {}
    for person, items in voices.items():
        parts = two_parts([item.samples for item in items])
        only_s = len(items[0].samples) / config.sample_rate_hz
        if len(items) == 1 and only_s < _LEAST_SINGLE_S:
            faults.add(
                f"{items[0].path}: the only recording of '{person}' lasts {only_s:.2f} s",
                fix=f"give two recordings, or one of at least {_LEAST_SINGLE_S:g} s",
            )
        elif len(items) == 1 and _is_lopsided(parts):
            faults.add(
                f"{items[0].path}: one half of the only recording of '{person}' is next to silent",
                fix="cut the silence off, or give two recordings",
            )
        else:
            enough[person] = parts
    return enough


def _is_lopsided(halves: list[np.ndarray]) -> bool:
    """Whether all the speech is in one: the other would be amplified to a target of noise."""
    levels = [rms_about_mean(half) for half in halves]
    return min(levels) < _LEAST_HALF * max(levels)


def _recordings(folders: list[Path], aliases: Mapping[str, str], rate_hz: int, faults: Faults) -> Iterator[_Recording]:
    for folder in folders:
        paths = _audio_files(folder, faults)
        if not paths:
            faults.add(f"{folder}: no recordings", fix="remove the folder, or fill it with .wav or .flac files")
        for path in paths:
            samples = _read(path, rate_hz, faults)
            if samples is not None:
                yield _Recording(aliases.get(folder.name, folder.name), folder.name, path, samples)


def _without_repeats(recordings: Iterable[_Recording], faults: Faults) -> list[_Recording]:
    """Each recording once: a second one would make an enrolment of its own target.

    Of two speakers who share one, the second is left out whole: they may be one person, half of whom would train.
    """
    seen: dict[bytes, _Recording] = {}
    doubtful: set[str] = set()
    for item in recordings:
        first = seen.setdefault(hashlib.sha256(item.samples.tobytes()).digest(), item)
        if first is item:
            continue
        if first.person == item.person:
            faults.add(f"{item.path}: the same recording as {first.path}", fix="remove one of them")
        else:
            doubtful.add(item.person)
            faults.add(
                f"{item.path}: the same recording as {first.path}, under another speaker ('{item.person}' is left out)",
                fix=f"if they are one person, say so in data.aliases: '{item.folder}: {first.person}'",
            )
    return [item for item in seen.values() if item.person not in doubtful]


def read_noise(config: DataConfig, faults: Faults) -> dict[str, list[np.ndarray]]:
    """Every recording of the noise folder at the config's rate, by its name.

    Raises:
        DataError: the folder is missing or holds too few.
    """
    if config.noise is None:
        return {}
    found = {}
    for path in _audio_files(_require_folder(config.noise, "noise recordings"), faults):
        samples = _read(path, config.sample_rate_hz, faults, may_clip=True)
        if samples is not None:
            found[str(path.relative_to(config.noise))] = [samples]
    if len(found) < _LEAST_NOISES:
        raise DataError(
            f"{config.noise}: {len(found)} noise recordings; {faults.told()}",
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
    for path in _audio_files(_require_folder(config.rooms, "room impulse responses"), faults):
        samples = _read(path, config.sample_rate_hz, faults, least_s=0.0, may_clip=True)
        if samples is not None:
            found.append(samples[int(np.argmax(np.abs(samples))) :])
    if len(found) < _LEAST_ROOMS:
        raise DataError(
            f"{config.rooms}: {len(found)} room impulse responses; {faults.told()}",
            expected=f"at least {_LEAST_ROOMS} .wav or .flac files: some are kept for validation and testing",
        )
    rooms = np.zeros((len(found), max(len(item) for item in found)), dtype=np.float32)
    for row, item in zip(rooms, found, strict=True):
        row[: len(item)] = item
    return rooms


def _read(
    path: Path, rate_hz: int, faults: Faults, *, least_s: float = _LEAST_S, may_clip: bool = False
) -> np.ndarray | None:
    """Samples of one file at ``rate_hz``, or None after its fault was noted."""
    try:
        samples, own_hz = read_audio(path, may_clip=may_clip)
    except DataError as error:
        faults.note(error)
        return None
    if own_hz < rate_hz:
        faults.add(
            f"{path}: {own_hz} Hz beside data.sample_rate_hz {rate_hz}: its missing band would give the speaker away",
            fix=f"set data.sample_rate_hz to {own_hz}, or leave the file out",
        )
        return None
    if len(samples) < least_s * own_hz:
        faults.add(
            f"{path}: lasts {len(samples) / own_hz:.2f} s",
            fix=f"leave it out: recordings need at least {least_s:g} s",
        )
        return None
    result = resample(samples, source_hz=own_hz, target_hz=rate_hz)
    if rms_about_mean(result) < _LEAST_BAND * rms_about_mean(samples):
        faults.add(f"{path}: holds nothing below {rate_hz // 2} Hz", fix="leave it out, or raise data.sample_rate_hz")
        return None
    return result


def _speaker_folders(config: DataConfig) -> tuple[list[Path], list[Path]]:
    """Every folder, and those that ``data.include`` chooses."""
    assert config.speakers is not None, "without a folder voices are synthetic"
    root = _require_folder(config.speakers, "one folder a speaker")
    every = sorted(path for path in root.iterdir() if path.is_dir())
    chosen = [path for path in every if any(fnmatch(path.name, pattern) for pattern in config.include)]
    for pattern in [*config.include, *([config.holdout] if config.holdout else [])]:
        if not any(fnmatch(path.name, pattern) for path in chosen):
            names = ", ".join(path.name for path in every[:5]) or "no folders"
            raise DataError(
                f"{root}: no speaker folder matches '{pattern}' (there are {len(every)}: {names} ...)",
                expected="patterns in data.include and data.holdout that match folders, holdout among those included",
            )
    return every, chosen


def _read_aliases(config: DataConfig, folders: list[str]) -> Mapping[str, str]:
    if config.aliases is None:
        return {}
    try:
        text = config.aliases.read_text(encoding="utf-8")
        content = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # a safe loader; names stay text where they are digits
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(
            f"{config.aliases}: cannot be read ({error})", expected="a YAML file: folder to person"
        ) from None
    if not isinstance(content, dict) or not all(isinstance(item, str) for pair in content.items() for item in pair):
        raise DataError(f"{config.aliases}: not a mapping of names", expected="lines such as 'spk_17: anna'")
    for name, person in content.items():
        if name not in folders:
            raise DataError(f"{config.aliases}: no speaker folder '{name}'", fix=did_you_mean(name, folders))
        if content.get(person, person) != person:
            raise DataError(
                f"{config.aliases}: '{name}: {person}', and '{person}: {content[person]}'",
                expected="one name for a person",
                fix=f"'{name}: {content[person]}'",
            )
    return content


def _audio_files(folder: Path, faults: Faults) -> list[Path]:
    """Recordings below ``folder``; other kinds of audio are noted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if path.suffix.lower() in _OTHER_SUFFIXES:
            faults.add(f"{path}: a {path.suffix} file", fix="write it as .wav or .flac, or remove it")
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def _require_folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise DataError(f"{path}: no such folder", expected=f"a folder with {what}")
    return path
