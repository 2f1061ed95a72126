"""Which motions are of one earthquake: by what their files say, and where one nearly repeats the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distsys.domains.ground_motion.data.earthquakes import Likeness, Named, merged, reasons
from distsys.domains.ground_motion.data.operators import WINDOW
from distsys.domains.ground_motion.data.records import Record
from distsys.domains.ground_motion.data.windows import Motion

_NEAR_COPY = 0.8
"""Largest correlation over all shifts between records of different events that are really one."""
_MIDDLE = 0.5
_TOLD = 2
"""Pairs of near copies that are named of a group; the others are counted."""


class Group(NamedTuple):
    """Names that are taken for one earthquake, and why."""

    names: list[Named]
    likeness: Likeness


class Grouping(NamedTuple):
    """Whose each motion is.

    Args:
        numbers: [motions] of their earthquakes.
        groups: those of several names.
    """

    numbers: np.ndarray
    groups: list[Group]


def named(record: Record) -> Named:
    """What a record says of its earthquake."""
    magnitude = record.metadata.magnitude
    source = f"{record.source} ({record.form})" if record.form else record.source
    is_told = record.tells_event or record.origin.time is not None
    begins = None if is_told else record.begins
    return Named(source, record.event, record.origin, None if math.isnan(magnitude) else magnitude, begins)


def grouped(motions: Sequence[Motion]) -> Grouping:
    """Earthquakes of ``motions``, and which names were joined, by what; a near copy joins too, and leaves a doubt."""
    names = [named(motion.record) for motion in motions]
    told = merged(sorted(set(names), key=lambda name: name[:2]))
    group_of = {name: index for index, group in enumerate(told) for name in group}
    number = np.array([group_of[name] for name in names])
    copies: dict[int, list[str]] = {}
    for one, other, correlation in _near_copies(motions):
        if number[one] != number[other]:
            joined, kept = number[other], number[one]
            pair = f"{motions[one].record.name} and {motions[other].record.name} correlate by {correlation:.2f}"
            copies.setdefault(kept, []).extend([*copies.pop(joined, []), pair])
            number[number == joined] = kept
    found: dict[int, list[Named]] = {}
    for name, index in zip(names, number.tolist(), strict=True):
        if name not in found.setdefault(index, []):
            found[index].append(name)
    groups = [
        Group(group, _why(group, copies.get(index, [])))
        for index, group in sorted(found.items())
        if len({name[:2] for name in group}) > 1
    ]
    return Grouping(np.unique(number, return_inverse=True)[1], groups)


def event_numbers(motions: Sequence[Motion]) -> np.ndarray:
    """[motions], the number of each one's earthquake."""
    return grouped(motions).numbers


def _why(group: list[Named], copies: list[str]) -> Likeness:
    told = reasons(group)
    more = [f"and {len(copies) - _TOLD} more pairs"] if len(copies) > _TOLD else []
    why = "; ".join([*([told.why] if told.why else []), *copies[:_TOLD], *more])
    return Likeness(why, told.sure)


def _near_copies(motions: Sequence[Motion]) -> list[tuple[int, int, float]]:
    windows = np.stack([motion.window(_MIDDLE) for motion in motions]).astype(np.float64)
    windows /= np.linalg.norm(windows, axis=1, keepdims=True)
    spectra = np.fft.rfft(windows, 2 * WINDOW)
    found = []
    for one in range(len(motions) - 1):
        shifted = np.fft.irfft(spectra[one + 1 :] * spectra[one].conj(), 2 * WINDOW)
        largest = np.abs(shifted).max(axis=1)
        for offset in np.flatnonzero(largest > _NEAR_COPY):
            found.append((one, one + 1 + int(offset), float(largest[offset])))
    return found
