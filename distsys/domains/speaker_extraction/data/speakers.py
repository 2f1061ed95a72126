"""A folder with one folder of recordings a speaker; every fault of every file is named at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.aliases import read_aliases
from distsys.domains.speaker_extraction.data.corpus import two_parts
from distsys.domains.speaker_extraction.data.near_copies import ALIKE, envelope_db, likeness
from distsys.domains.speaker_extraction.data.recordings import audio_files, read_recording, require_folder
from distsys.errors import DataError
from distsys.signals.audio import SUFFIXES, rms_about_mean

_LEAST_SINGLE_S = 4.0
"""Of a speaker's only recording, which is cut in two."""
_LEAST_HALF = 0.05
"""RMS of its quieter half beside the louder one, -26 dB."""


@dataclass(frozen=True)
class Speakers:
    """Who was read.

    Args:
        voices: utterances [time] of each person, two or more.
        held: persons with a folder that ``data.holdout`` matches; all their folders are held with it.
    """

    voices: dict[str, list[np.ndarray]]
    held: frozenset[str]


@dataclass(frozen=True)
class _Recording:
    person: str
    folder: str
    path: Path
    samples: np.ndarray


def read_speakers(config: DataConfig, faults: Faults) -> Speakers:
    """Every person at the config's rate; folders of one person are joined.

    What is at fault is left out and noted: files that are damaged, silent, clipped, of several channels, too short or
    of too low a rate, speakers with too little speech, recordings that stand there twice, and speakers who share a
    recording with another and may be the same person.

    Raises:
        DataError: a folder or the file of aliases is at fault.
    """
    every, folders = _speaker_folders(config)
    aliases = read_aliases(config.aliases, folders=[path.name for path in every])
    recordings = _recordings(folders, aliases, config.sample_rate_hz, faults)
    held = {aliases.get(path.name, path.name) for path in folders if fnmatch(path.name, config.holdout or "")}
    once = _without_near_copies(_without_repeats(recordings, faults), config.sample_rate_hz, faults)
    return Speakers(_with_enough(once, config.sample_rate_hz, faults), frozenset(held))


def _speaker_folders(config: DataConfig) -> tuple[list[Path], list[Path]]:
    """Every folder, and those that ``data.include`` chooses."""
    assert config.speakers is not None, "without a folder voices are synthetic"
    root = require_folder(config.speakers, "one folder a speaker")
    every = sorted(path for path in root.iterdir() if path.is_dir())
    chosen = [path for path in every if any(fnmatch(path.name, pattern) for pattern in config.include)]
    for pattern in [*config.include, *([config.holdout] if config.holdout else [])]:
        if not any(fnmatch(path.name, pattern) for path in chosen):
            names = ", ".join(path.name for path in every[:5]) or "no folders"
            if not every and any(path.suffix.lower() in SUFFIXES for path in root.iterdir()):
                raise DataError(
                    f"{root}: recordings, and no folder of a speaker",
                    expected="one folder a speaker",
                    fix=f"move those of each speaker into a folder of their own: {root.name}/ada/*.wav",
                )
            raise DataError(
                f"{root}: no speaker folder matches '{pattern}' (there are {len(every)}: {names} ...)",
                expected="patterns in data.include and data.holdout that match folders, holdout among those included",
            )
    return every, chosen


def _recordings(folders: list[Path], aliases: Mapping[str, str], rate_hz: int, faults: Faults) -> Iterator[_Recording]:
    for folder in folders:
        paths = audio_files(folder, faults)
        if not paths:
            faults.add(f"{folder}: no recordings", fix="remove the folder, or fill it with .wav or .flac files")
        for path in paths:
            samples = read_recording(path, rate_hz, faults)
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


def _without_near_copies(recordings: list[_Recording], rate_hz: int, faults: Faults) -> list[_Recording]:
    """Each utterance of a person once, the first file of it: by another microphone it is no other utterance."""
    kept: dict[str, list[tuple[_Recording, np.ndarray]]] = {}
    for item in recordings:
        envelope = envelope_db(item.samples, rate_hz)
        of_person = kept.setdefault(item.person, [])
        alike = ((likeness(envelope, known), first) for first, known in of_person)
        found = next(((value, first) for value, first in alike if value > ALIKE), None)
        if found is None:
            of_person.append((item, envelope))
            continue
        faults.add(
            f"{item.path}: the same utterance as {found[1].path} (their envelopes correlate by {found[0]:.3f}): "
            "another microphone, level, format or cut",
            fix="remove one of them: an enrolment must not be its own target",
        )
    return [item for items in kept.values() for item, _ in items]


def _with_enough(recordings: Iterable[_Recording], rate_hz: int, faults: Faults) -> dict[str, list[np.ndarray]]:
    """Two utterances or more of each person."""
    voices: dict[str, list[_Recording]] = {}
    for item in recordings:
        voices.setdefault(item.person, []).append(item)
    enough = {}
    for person, items in voices.items():
        parts = two_parts([item.samples for item in items])
        if len(items) > 1 or _can_be_halved(items[0], parts, rate_hz, faults):
            enough[person] = parts
    return enough


def _can_be_halved(only: _Recording, halves: Sequence[np.ndarray], rate_hz: int, faults: Faults) -> bool:
    """Whether both halves of a person's only recording hold speech: an empty one would be amplified to a target."""
    only_s, levels = len(only.samples) / rate_hz, [rms_about_mean(half) for half in halves]
    if only_s < _LEAST_SINGLE_S:
        faults.add(
            f"{only.path}: the only recording of '{only.person}' lasts {only_s:.2f} s",
            fix=f"give two recordings, or one of at least {_LEAST_SINGLE_S:g} s",
        )
    elif min(levels) < _LEAST_HALF * max(levels):
        faults.add(
            f"{only.path}: one half of the only recording of '{only.person}' is next to silent",
            fix="cut the silence off, or give two recordings",
        )
    else:
        return True
    return False
