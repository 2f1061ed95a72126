"""Records of the Engineering Strong-Motion database (DYNA 1.2): 64 lines of ``KEY: value``, then a value a line.

Source: Luzi et al., Engineering Strong Motion Database, esm-db.eu (header format DYNA 1.2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from distsys.domains.ground_motion.data.at2 import unit_of
from distsys.domains.ground_motion.data.origins import Origin, rupture_distance_km
from distsys.domains.ground_motion.data.records import G_IN, Metadata, Record, in_range, vertical_of
from distsys.domains.ground_motion.data.text import numbers, text_of
from distsys.errors import DataError

_LINE = re.compile(r"^([A-Z][A-Z0-9_/^]*):[ \t]*(.*)$")


def is_esm(head: str) -> bool:
    """By its first two keys."""
    return head.startswith("EVENT_NAME:") and "\nEVENT_ID:" in head


class _Header:
    """Keys with their line and what follows them."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path, self.lines = path, {}
        for number, line in enumerate(lines):
            if (found := _LINE.match(line)) is None:
                break
            self.lines[found[1]] = (number + 1, found[2].strip())

    def text(self, key: str) -> str:
        """Empty where nothing is known."""
        return self.lines[key][1] if key in self.lines else ""

    def where(self, key: str) -> str:
        return f"{self.path}, line {self.lines[key][0]}" if key in self.lines else f"{self.path}: {key}"

    def number(self, key: str, kind: str = "") -> float | None:
        if not (text := self.text(key)):
            return None
        try:
            value = float(text)
        except ValueError:
            raise DataError(f"{self.where(key)}: {key} '{text}'", expected="a number, or nothing") from None
        return in_range(kind, value, where=self.where(key)) if kind else value

    def needed(self, key: str) -> str:
        if not (text := self.text(key)):
            raise DataError(f"{self.path}: no {key}", expected=f"'{key}: ...' in the header")
        return text

    def time(self, form: str, *keys: str) -> datetime | None:
        """What ``keys`` say together."""
        text = "_".join(self.text(key) for key in keys)
        try:
            return datetime.strptime(text, form if "." in text else form.removesuffix(".%f")).replace(tzinfo=UTC)
        except ValueError:
            if text.strip("_"):
                raise DataError(f"{self.where(keys[0])}: '{text}'", expected="'20190728_160905.700'") from None
            return None


def read_esm(path: Path) -> Iterator[Record]:
    """The record of one component.

    Raises:
        DataError: it is no acceleration, or a line of the header says what cannot be meant.
    """
    lines = text_of(path).split("\n")
    header = _Header(path, lines)
    unit = unit_of(header.needed("UNITS")) or ("g" if header.text("UNITS").lower() == "g" else None)
    if header.text("DATA_TYPE") not in ("", "ACCELERATION") or unit is None:
        raise DataError(
            f"{header.where('UNITS')}: {header.text('DATA_TYPE')} in {header.text('UNITS')}",
            expected="ACCELERATION in cm/s^2 (a file *.ACC.ASC)",
        )
    values = numbers(path, " ".join(lines[len(header.lines) :]), where=f", from line {len(header.lines) + 1} on")
    if len(values) != (count := header.number("NDATA")):
        raise DataError(f"{path}: {len(values)} values", expected=f"{count:g}, as NDATA says" if count else "NDATA")
    magnitude, vs30_m_s = header.number("MAGNITUDE_W", "magnitude"), header.number("VS30_M/S", "vs30_m_s")
    magnitude = magnitude if magnitude is not None else header.number("MAGNITUDE_L", "magnitude")
    magnitude = math.nan if magnitude is None else magnitude
    origin = Origin(
        header.time("%Y%m%d_%H%M%S.%f", "EVENT_DATE_YYYYMMDD", "EVENT_TIME_HHMMSS"),
        2.0,
        header.number("EVENT_LATITUDE_DEGREE", "latitude_deg"),
        header.number("EVENT_LONGITUDE_DEGREE", "longitude_deg"),
        header.number("EVENT_DEPTH_KM", "depth_km"),
    )
    epicentral_km = header.number("EPICENTRAL_DISTANCE_KM")
    distance_km = rupture_distance_km(magnitude=magnitude, epicentral_km=epicentral_km, depth_km=origin.depth_km)
    yield Record(
        values / G_IN[unit],
        float(in_range("dt_s", float(header.needed("SAMPLING_INTERVAL_S")), where=header.where("SAMPLING_INTERVAL_S"))),
        header.text("EVENT_ID") or header.text("EVENT_NAME") or str(path),
        header.needed("STATION_CODE"),
        str(path),
        metadata=Metadata(
            magnitude,
            distance_km,
            math.nan if vs30_m_s is None else vs30_m_s,
            vertical_of(header.text("STREAM")),
        ),
        network=header.text("NETWORK"),
        component=header.text("STREAM"),
        begins=header.time("%Y%m%d_%H%M%S.%f", "DATE_TIME_FIRST_SAMPLE_YYYYMMDD_HHMMSS"),
        origin=origin,
    )
