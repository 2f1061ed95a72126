"""Strong-motion records of the USGS in the format of its CD-ROMs (SMC): text, integers, reals, comments, values.

Source: Seekins et al., Digitized strong-motion accelerograms, USGS Digital Data Series DDS-7 (1992), and
nsmp.wr.usgs.gov/smcfmt.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from distsys.domains.ground_motion.data.origins import MINUTE_S, Origin, rupture_distance_km
from distsys.domains.ground_motion.data.records import G_IN, Metadata, Record, in_range
from distsys.domains.ground_motion.data.text import fixed, text_of
from distsys.errors import DataError

_TEXT, _INTEGERS, _REALS = 11, 6, 10
"""Lines of each part of the header."""
_KIND = re.compile(r"\s*[12] (?:UN)?CORRECTED ACCELEROGRAM")


def is_smc(head: str) -> bool:
    """By the number and words of the first line."""
    return re.match(r"\s*[1-6] (?:UNCORRECTED|CORRECTED|VELOCITY|DISPLACEMENT)", head) is not None


def read_smc(path: Path) -> Iterator[Record]:
    """The record of one component, in cm/s2.

    Raises:
        DataError: it is no acceleration, or a number cannot be read; the line is named.
    """
    lines = text_of(path).split("\n")
    if _KIND.match(lines[0]) is None:
        raise DataError(f"{path}, line 1: '{lines[0].strip()}'", expected="'2 CORRECTED ACCELEROGRAM'")
    integers, reals = (
        _known(path, lines, _TEXT, 8, 10, _INTEGERS),
        _known(path, lines, _TEXT + _INTEGERS, 5, 15, _REALS),
    )
    rate_hz, count = reals[1], integers[16]
    if not rate_hz or not count:
        raise DataError(f"{path}, lines 14 and 18: no number of points or samples a second", expected="both")
    first = _TEXT + _INTEGERS + _REALS + int(integers[15] or 0)
    values = fixed(path, lines[first:], width=10, columns=8, count=int(count), first=first + 1)
    magnitude = next((value for value in reals[5:8] if value is not None), math.nan)
    magnitude = in_range("magnitude", magnitude, where=f"{path}, line {_TEXT + _INTEGERS + 2}")
    event, time = _event(lines[3])
    yield Record(
        values / G_IN["cm/s2"],
        1.0 / rate_hz,
        event or str(path),
        _station(lines[5]) or path.stem,
        str(path),
        metadata=Metadata(
            magnitude,
            rupture_distance_km(magnitude=magnitude, epicentral_km=reals[16], depth_km=reals[4]),
            vertical=math.nan if integers[12] is None else float(integers[12] in (0.0, 180.0)),
        ),
        network=next(iter(re.findall(r"data source\s*=\s*(\S+)", lines[7])), ""),
        component="Up" if integers[12] in (0.0, 180.0) else f"{integers[13] or 0:g}",
        begins=_start(integers),
        origin=Origin(time, MINUTE_S, reals[2], reals[3], reals[4]),
    )


def _known(path: Path, lines: list[str], start: int, columns: int, width: int, rows: int) -> list[float | None]:
    """Numbers of a header; the first of them stands for what is not known."""
    values: np.ndarray = fixed(
        path, lines[start : start + rows], width=width, columns=columns, count=rows * columns, first=start + 1
    )
    return [None if value == values[0] else float(value) for value in values]


def _event(line: str) -> tuple[str, datetime | None]:
    """Name and time of ``1989  10  18    0004 Loma Prieta, CA``."""
    found = re.match(r"\s*(\d{4})\s+(\d{1,2})\s+(\d{1,2})\s+(\d{2})(\d{2})\s*(.*?)\s*$", line)
    if found is None:
        return line.strip(" *"), None
    try:
        return found[6], datetime(*(int(found[place]) for place in range(1, 6)), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return found[6], None


def _station(line: str) -> str:
    found = re.match(r"\s*station\s*=\s*(.*?)\s*(?:component\s*=.*)?$", line)
    return found[1] if found else ""


def _start(integers: list[float | None]) -> datetime | None:
    """Year, day of the year, hour, minute, second and millisecond of the first sample."""
    year, day, hour, minute = integers[1:5]
    if not year or day is None or hour is None or minute is None:
        return None
    seconds = (integers[5] or 0.0) + (integers[6] or 0.0) / 1000.0
    return datetime(int(year), 1, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour, minutes=minute, seconds=seconds)
