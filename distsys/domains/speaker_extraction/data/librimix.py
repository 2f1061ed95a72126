"""Mixtures and enrolments of Libri2Mix as others report on them: whole files, by its lists (arXiv 2005.11262).

The mixtures are those of a metadata file (columns ``mixture_ID``, ``mixture_path``, ``source_1_path``,
``source_2_path``), the enrolments those of SpeakerBeam's list, which is what most report with: lines of mixture,
utterance and enrolment as ``s1/<mixture_ID>``, or the table that its recipe makes of them (``mixture_id``,
``utterance_id``, ``enr_path1``). Targets are the files as they are; what a model hears is cleaned as in ``predict``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distsys.domains.protocol import Batch
from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.cleaning import cleaned
from distsys.domains.speaker_extraction.data.queries import GROUPS
from distsys.errors import DataError
from distsys.signals.audio import read_audio
from distsys.signals.levels import rms
from distsys.signals.resampling import resampled

_MIXTURES = ("mixture_ID", "mixture_path", "source_1_path", "source_2_path")
_ENROLMENTS = ("mixture_id", "utterance_id", "enr_path1")
_KEPT = 3
"""Last parts of a path that are the same on every machine: set, kind, file."""


@dataclass(frozen=True)
class _Query:
    """One utterance of a mixture, with the file that its speaker is enrolled by."""

    mixture: str
    which: int
    enrolment: Path


@dataclass(frozen=True)
class _Lists:
    """What the two lists say; ``files`` are those of a mixture: itself and its two sources."""

    files: Mapping[str, tuple[Path, ...]]
    queries: Sequence[_Query]


def read_librimix(config: DataConfig) -> tuple[list[Batch], list[str]]:
    """A batch, and a line of the manifest, for each query; none without ``data.librimix``.

    Raises:
        DataError: a list or a recording is missing, or not what it should be.
    """
    if config.librimix is None or config.librimix_enrolments is None:
        return [], []
    lists = _read_lists(config.librimix, config.librimix_enrolments)
    pairs = [_read_query(query, lists, config.sample_rate_hz) for query in lists.queries[: config.librimix_items]]
    return [batch for batch, _ in pairs], [line for _, line in pairs]


def _read_query(query: _Query, lists: _Lists, rate_hz: int) -> tuple[Batch, str]:
    mixture, *sources = (
        _samples(path, rate_hz, is_target=number > 0) for number, path in enumerate(lists.files[query.mixture])
    )
    enrolment = _samples(query.enrolment, rate_hz)
    lengths = [len(item) for item in (mixture, *sources)]
    if len(set(lengths)) > 1:
        raise DataError(
            f"{lists.files[query.mixture][0]}: it and its sources have {lengths} samples",
            expected="equal lengths, in mode min or max",
        )
    batch = {
        "mixture": torch.from_numpy(mixture)[None],
        "sources": torch.from_numpy(np.stack(sources))[None],
        "enrolment": torch.from_numpy(enrolment)[None, None],
        "asked": torch.tensor([[query.which]]),
        "group": torch.tensor([GROUPS.index("librimix")]),
    }
    utterances = query.mixture.split("_")
    row = {
        "mixture": query.mixture,
        "wanted": [_speaker(utterances[query.which])],
        "enrolled_by": str(query.enrolment),
        "sir_db": round(float(20.0 * np.log10(rms(sources[0]) / rms(sources[1]))), 3),
    }
    return batch, json.dumps(row, sort_keys=True)


def _samples(path: Path, rate_hz: int, *, is_target: bool = False) -> np.ndarray:
    samples, file_hz = read_audio(path, may_clip=True)
    if file_hz < rate_hz:
        raise DataError(
            f"{path}: {file_hz} Hz", expected=f"data.sample_rate_hz {rate_hz} or above", fix="use wav16k of LibriMix"
        )
    if is_target:
        return np.ascontiguousarray(resampled(samples, up=rate_hz, down=file_hz))
    return cleaned(samples, file_hz=file_hz, rate_hz=rate_hz)


def _read_lists(mixtures: Path, enrolments: Path) -> _Lists:
    rows = list(_table(mixtures, _MIXTURES))
    files = {row["mixture_ID"]: tuple(_found(row[name], mixtures) for name in _MIXTURES[1:]) for row in rows}
    queries = []
    for mixture, utterance, enrolment in _enrolled(enrolments):
        if mixture not in files:
            raise DataError(f"{enrolments}: mixture '{mixture}'", expected=f"mixtures that {mixtures} lists")
        utterances = mixture.split("_")
        if utterance not in utterances:
            raise DataError(f"{enrolments}: '{utterance}' of '{mixture}'", expected=f"one of {', '.join(utterances)}")
        queries.append(_Query(mixture, utterances.index(utterance), _enrolment_file(enrolment, files, mixtures)))
        if queries[-1].enrolment in files[mixture]:
            raise DataError(f"{enrolments}: '{mixture}' is enrolled by itself", expected="another recording")
    return _Lists(files, queries)


def _enrolled(path: Path) -> Iterator[tuple[str, str, str]]:
    """Mixture, utterance and enrolment, from either form of the list."""
    if path.suffix == ".csv":
        yield from ((row["mixture_id"], row["utterance_id"], row["enr_path1"]) for row in _table(path, _ENROLMENTS))
        return
    for number, line in enumerate(_text(path).splitlines(), 1):
        parts = line.split()
        if len(parts) != 3:
            raise DataError(f"{path}, line {number}: '{line}'", expected="mixture, utterance and enrolment")
        yield parts[0], parts[1], parts[2]


def _enrolment_file(name: str, files: Mapping[str, tuple[Path, ...]], mixtures: Path) -> Path:
    """The file of ``s1/<mixture_ID>``, or a path."""
    source, _, mixture = name.partition("/")
    if source in ("s1", "s2") and mixture in files:
        return files[mixture][1 if source == "s1" else 2]
    return _found(name, mixtures)


def _found(name: str, mixtures: Path) -> Path:
    """The file itself, or the one below the data that ``mixtures`` lies in: lists hold paths of other machines."""
    path = Path(name)
    return path if path.is_file() else mixtures.parent.parent.joinpath(*path.parts[-_KEPT:])


def _table(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
    reader = csv.DictReader(_text(path).splitlines())
    if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise DataError(
            f"{path}: no column {', '.join(missing)} (there are {', '.join(reader.fieldnames or ())})",
            expected="a list as LibriMix and SpeakerBeam write them",
        )
    return reader


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="a list of LibriMix") from None


def _speaker(utterance: str) -> str:
    """LibriSpeech's name of who said it: 4077 of 4077-13754-0001."""
    return utterance.split("-")[0]
