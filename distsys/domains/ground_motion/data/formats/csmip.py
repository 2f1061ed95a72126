"""Strong-motion records of the California Geological Survey (CSMIP, once CDMG), volumes 1 and 2, as text.

Source: Shakal and Huang, Standard tape format for CSMIP strong-motion data tapes, OSMS 85-03 (1985), and its files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from distsys.domains.ground_motion.data.at2 import unit_of
from distsys.domains.ground_motion.data.formats.words import event_in, magnitude_in, origin_in, start_in
from distsys.domains.ground_motion.data.origins import apart_km, rupture_distance_km
from distsys.domains.ground_motion.data.records import G_IN, Metadata, Record, in_range
from distsys.domains.ground_motion.data.text import fixed, text_of
from distsys.errors import DataError

_RAW = re.compile(
    r"^\s*(?P<count>\d+)\s+Accelerogram points at\s+(?P<rate>[\d.]+)\s+pts/sec in units of\s+(?P<unit>\S+).*"
    r"\((?P<columns>\d+)f(?P<width>\d+)",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"^\s*(?P<count>\d+)\s+points of accel data equally spaced at\s+(?P<step>[\d.]+)\s+sec,\s*in\s+(?P<unit>\S+?)\.?\s*"
    r"\((?P<columns>\d+)f(?P<width>\d+)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"Station No\.\s*(\S+)\s+([\d.]+)\s*([NS]),\s*([\d.]+)\s*([EW])", re.IGNORECASE)
_CHANNEL = re.compile(r"^\s*Chan\s+\d+:\s*(?:(\d+)\s*Deg|(Up|Down|Vert\w*)|(\w+))", re.IGNORECASE | re.MULTILINE)
_NETWORK = "CE"
"""SEED's code of the California Strong Motion Instrumentation Program."""


def is_csmip(head: str) -> bool:
    """By the first line: ``(Un)corrected accelerogram`` without a mark of another format."""
    first = head.partition("\n")[0].lower()
    return "corrected accelerogram" in first and re.match(r"\s*\d\s", first) is None


def read_csmip(path: Path) -> Iterator[Record]:
    """The acceleration of every channel.

    Raises:
        DataError: there is none, in lines of equal steps, or a value cannot be read; the line is named.
    """
    lines = text_of(path).split("\n")
    start = 0
    for place, line in enumerate(lines):
        if match := _CORRECTED.match(line) or _RAW.match(line):
            yield _record(path, lines, start, place, match)
            start = place + 1
    if not start:
        raise DataError(
            f"{path}: no line '... points of accel data equally spaced at ...' or '... Accelerogram points at ...'",
            expected="volume 2, or a volume 1 of equal steps",
            fix="volumes 1 of before 1990 hold pairs of times and values: take the volume 2 of the record",
        )


def _record(path: Path, lines: Sequence[str], start: int, place: int, match: re.Match[str]) -> Record:
    said = match.groupdict()
    unit = "g" if said["unit"].strip(". ").lower() == "g" else unit_of(said["unit"])
    if unit is None:
        raise DataError(f"{path}, line {place + 1}: unit '{said['unit']}'", expected="g or cm/sec2")
    values = fixed(
        path, lines[place + 1 :], width=int(said["width"]), columns=int(said["columns"]), count=int(said["count"]),
        first=place + 2,
    )  # fmt: skip
    text = "\n".join(lines[start:place])
    origin, magnitude = origin_in(text), magnitude_in(text)
    magnitude = in_range("magnitude", math.nan if magnitude is None else magnitude, where=f"{path}, header")
    station, site = _site(text)
    epicentral_km = apart_km(site, origin.place) if site and origin.place else None
    component, vertical = _component(text)
    return Record(
        values / G_IN[unit],
        float(said["step"]) if "step" in said else 1.0 / float(said["rate"]),
        event_in(text) or origin.text() or str(path),
        station or path.stem,
        f"{path}/{component or 'channel'}",
        metadata=Metadata(
            magnitude,
            rupture_distance_km(magnitude=magnitude, epicentral_km=epicentral_km, depth_km=origin.depth_km),
            vertical=vertical,
        ),
        network=_NETWORK,
        component=component,
        begins=start_in(text),
        origin=origin,
    )


def _site(text: str) -> tuple[str, tuple[float, float] | None]:
    """Number and place of the station."""
    found = _PLACE.search(text)
    if found is None:
        return "", None
    north, east = float(found[2]), float(found[4])
    return found[1], (-north if found[3] in "Ss" else north, -east if found[5] in "Ww" else east)


def _component(text: str) -> tuple[str, float]:
    found = _CHANNEL.search(text)
    if found is None or found[3]:
        return found[3] if found else "", math.nan
    return (found[1], 0.0) if found[1] else ("Up", 1.0)
