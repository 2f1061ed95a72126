"""Records of K-NET and KiK-net as NIED distributes them: 17 lines of header, then counts.

Source: NIED, www.kyoshin.bosai.go.jp/kyoshin/man/knetform_en.html. Times are Japan's; the recorder's time is 15 s late.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from distsys.domains.ground_motion.data.origins import Origin, apart_km, moment_of, rupture_distance_km
from distsys.domains.ground_motion.data.records import G_IN, Metadata, Record, in_range
from distsys.domains.ground_motion.data.text import numbers, text_of
from distsys.errors import DataError

_JAPAN_H = 9.0
_DELAY = timedelta(seconds=15.0)
_KEYS = (
    "Origin Time", "Lat.", "Long.", "Depth. (km)", "Mag.", "Station Code", "Station Lat.", "Station Long.",
    "Station Height(m)", "Record Time", "Sampling Freq(Hz)", "Duration Time(s)", "Dir.", "Scale Factor",
    "Max. Acc. (gal)", "Last Correction", "Memo.",
)  # fmt: skip
_SENSORS = {"1": "NS1", "2": "EW1", "3": "UD1", "4": "NS2", "5": "EW2", "6": "UD2"}
"""Of KiK-net: 1 to 3 in the borehole, 4 to 6 at the surface."""


def is_knet(head: str) -> bool:
    """By its first words."""
    return head.startswith("Origin Time")


def read_knet(path: Path) -> Iterator[Record]:
    """The record of one component; its scale factor makes cm/s2 of counts.

    Raises:
        DataError: a line of the header is missing or says what cannot be meant.
    """
    lines = text_of(path).split("\n")
    header = _header(path, lines)
    factor = re.match(r"\s*([\d.]+)\s*\(gal\)\s*/\s*([\d.]+)", header["Scale Factor"])
    if factor is None:
        raise _wrong(path, "Scale Factor", header, "'3920(gal)/6182761'")
    rate_hz = _number(path, header, "Sampling Freq(Hz)")
    counts = numbers(path, " ".join(lines[len(_KEYS) :]), where=f", from line {len(_KEYS) + 1} on")
    begins = _time(path, header, "Record Time") - _DELAY
    place = (_number(path, header, "Lat.", "latitude_deg"), _number(path, header, "Long.", "longitude_deg"))
    site = (
        _number(path, header, "Station Lat.", "latitude_deg"),
        _number(path, header, "Station Long.", "longitude_deg"),
    )
    magnitude, depth_km = _number(path, header, "Mag.", "magnitude"), _number(path, header, "Depth. (km)", "depth_km")
    origin = Origin(_time(path, header, "Origin Time"), 60.0, *place, depth_km)
    epicentral_km = apart_km(place, site)
    component = _SENSORS.get(header["Dir."], header["Dir."].replace("-", ""))
    yield Record(
        counts * float(factor[1]) / float(factor[2]) / G_IN["cm/s2"],
        1.0 / rate_hz,
        origin.text(),
        header["Station Code"],
        f"{path}",
        metadata=Metadata(
            magnitude,
            rupture_distance_km(magnitude=magnitude, epicentral_km=epicentral_km, depth_km=depth_km),
            vertical=float(component.startswith("UD")),
        ),
        network="KiK-net" if header["Dir."] in _SENSORS else "K-NET",
        component=component,
        begins=begins,
        origin=origin,
    )


def _header(path: Path, lines: list[str]) -> Mapping[str, str]:
    found = {}
    for number, key in enumerate(_KEYS):
        line = lines[number] if number < len(lines) else ""
        if not line.startswith(key):
            raise DataError(f"{path}, line {number + 1}: '{line[:40]}'", expected=f"'{key}'")
        found[key] = line[len(key) :].strip()
    return found


def _number(path: Path, header: Mapping[str, str], key: str, kind: str = "") -> float:
    found = re.match(r"-?\d+(?:\.\d*)?", header[key])
    if found is None:
        if kind == "magnitude" and not header[key]:
            return math.nan
        raise _wrong(path, key, header, "a number")
    value = float(found[0])
    return in_range(kind, value, where=f"{path}, line {_KEYS.index(key) + 1} ({key})") if kind else value


def _time(path: Path, header: Mapping[str, str], key: str) -> datetime:
    found = moment_of(header[key], zone_h=_JAPAN_H)
    if found is None:
        raise _wrong(path, key, header, "'2011/03/11 14:46:00'")
    return found[0]


def _wrong(path: Path, key: str, header: Mapping[str, str], expected: str) -> DataError:
    return DataError(f"{path}, line {_KEYS.index(key) + 1}: {key} '{header[key]}'", expected=expected)
