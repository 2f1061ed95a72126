"""Strong-motion records of the COSMOS consortium (V1, V2), a channel after the other in a text file.

Source: COSMOS Strong Motion Data Format 1.20 (2001), www.strongmotioncenter.org/vdc/cosmos_format_1_20.pdf
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from distsys.domains.ground_motion.data.formats.words import event_in, magnitude_in, origin_in, start_in
from distsys.domains.ground_motion.data.origins import rupture_distance_km
from distsys.domains.ground_motion.data.records import G_IN, Metadata, Record, in_range
from distsys.domains.ground_motion.data.text import fixed, text_of
from distsys.errors import DataError

_INTEGERS = re.compile(r"^\s*(\d+)\s+Integer-header.*Format\s*=\s*\((\d+)I(\d+)\)", re.IGNORECASE)
_REALS = re.compile(r"^\s*(\d+)\s+Real-header.*Format\s*=\s*\((\d+)[FE](\d+)", re.IGNORECASE)
_COMMENTS = re.compile(r"^\s*(\d+)\s+Comment line", re.IGNORECASE)
_SERIES = re.compile(
    r"^\s*(\d+)\s+(\w+) pts,.*units\s*=\s*(.*?)\((\d+)\),?\s*Format\s*=\s*\((\d+)[FE](\d+)", re.IGNORECASE
)
_STATION = re.compile(r"Code:\s*(\w+)-(\w+)", re.IGNORECASE)
_IN_G = {2: 1.0, 4: G_IN["cm/s2"], 7: G_IN["cm/s2"] / 2.54, 10: G_IN["cm/s2"], 11: 1e3, 12: 1e6}
"""Units of the format's table 2 that make one g: g, cm/s2, in/s2, gal, mg, micro-g."""
_VERTICAL = (400, 401, 402)
_UNKNOWN = -999.0
_STEP_MS, _EPICENTRAL_KM, _VS30, _DEPTH_KM = 61, 16, 3, 11
_ORIENTATION = 53
"""Places in the headers of numbers, from 0."""


def is_cosmos(head: str) -> bool:
    """By the first line: ``Corrected acceleration (Format v01.20 with 13 text lines)``."""
    return (
        re.match(r".*(acceleration|velocity|displacement).*\(Format v", head.partition("\n")[0], re.IGNORECASE)
        is not None
    )


def read_cosmos(path: Path) -> Iterator[Record]:
    """Every channel of acceleration; velocities and displacements are passed over.

    Raises:
        DataError: a header or a value cannot be read; the line is named.
    """
    lines = text_of(path).split("\n")
    place, found = 0, 0
    while place < len(lines) and (channel := _channel(path, lines, place)) is not None:
        record, place = channel
        if record is not None:
            found += 1
            yield record
    if not found:
        raise DataError(
            f"{path}: no acceleration in it", expected="'Corrected acceleration' or 'Uncorrected acceleration'"
        )


def _channel(path: Path, lines: Sequence[str], start: int) -> tuple[Record | None, int] | None:
    """The record from line ``start`` on, None where it is no acceleration, and where the next begins."""
    integers, place = _block(path, lines, start, _INTEGERS)
    if integers is None:
        return None
    reals, place = _block(path, lines, place, _REALS)
    series = next((index for index in range(place, len(lines)) if _SERIES.match(lines[index])), None)
    if reals is None or series is None:
        raise DataError(
            f"{path}, from line {place + 1} on: a header without values", expected="'... acceleration pts, ...'"
        )
    match = _SERIES.match(lines[series])
    assert match is not None
    count, what, unit, code, columns, width = match.groups()
    after = series + 1 + -(-int(count) // int(columns))
    if what.lower() != "acceleration":
        return None if after >= len(lines) else (None, after)
    if int(code) not in _IN_G:
        raise DataError(
            f"{path}, line {series + 1}: unit '{unit.strip()}' ({code})",
            expected="an acceleration: g (02), cm/sec2 (04), in/sec2 (07), gal (10), mg (11)",
            fix="raw counts (V0) need the processing that makes V1 or V2 of them",
        )
    values = fixed(
        path, lines[series + 1 :], width=int(width), columns=int(columns), count=int(count), first=series + 2
    )
    text = "\n".join(lines[start:series])
    return _record(path, text, integers, reals, values / _IN_G[int(code)]), after


def _block(path: Path, lines: Sequence[str], start: int, header: re.Pattern[str]) -> tuple[np.ndarray | None, int]:
    """[numbers] of the next header of numbers, and the line after it."""
    for place in range(start, len(lines)):
        if match := header.match(lines[place]):
            count, columns, width = (int(item) for item in match.groups())
            rows = -(-count // columns)
            block = lines[place + 1 : place + 1 + rows]
            return fixed(path, block, width=width, columns=columns, count=count, first=place + 2), place + 1 + rows
    return None, len(lines)


def _record(path: Path, text: str, integers: np.ndarray, reals: np.ndarray, samples: np.ndarray) -> Record:
    where = f"{path}, real header"
    real = [None if value == _UNKNOWN else float(value) for value in reals]
    step = real[_STEP_MS]
    if step is None:
        raise DataError(f"{where} 62: no sampling interval", expected="milliseconds between samples")
    origin, magnitude = origin_in(text), magnitude_in(text)
    depth_km = origin.depth_km if origin.depth_km is not None else real[_DEPTH_KM]
    magnitude = in_range("magnitude", math.nan if magnitude is None else magnitude, where=where)
    station = _STATION.search(text)
    orientation = int(integers[_ORIENTATION])
    vertical = math.nan if orientation < 0 or orientation >= 1000 else float(orientation in _VERTICAL)
    component = "Up" if orientation in _VERTICAL else f"{orientation}" if vertical == 0.0 else ""
    return Record(
        samples,
        step / 1000.0,
        event_in(text) or origin.text() or str(path),
        station[2] if station else path.stem,
        f"{path}/{component or 'channel'}",
        metadata=Metadata(
            magnitude,
            rupture_distance_km(magnitude=magnitude, epicentral_km=real[_EPICENTRAL_KM], depth_km=depth_km),
            in_range("vs30_m_s", math.nan if real[_VS30] is None else float(real[_VS30] or 0.0), where=f"{where} 4"),
            vertical,
        ),
        network=station[1] if station else "",
        component=component,
        begins=start_in(text),
        origin=origin,
    )
