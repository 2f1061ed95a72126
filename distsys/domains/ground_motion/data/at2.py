"""Acceleration records in PEER's text format (.at2), read and written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from distsys.domains.ground_motion.config import Unit
from distsys.domains.ground_motion.data.origins import Origin, moment_of
from distsys.domains.ground_motion.data.records import G_IN, Metadata, Record, vertical_of
from distsys.domains.ground_motion.data.text import numbers, text_of
from distsys.errors import DataError

_NEW_HEADER = re.compile(r"NPTS\s*=\s*(\d+)\s*,?\s*DT\s*=\s*([^\s,]+)", re.IGNORECASE)
_OLD_HEADER = re.compile(r"^\s*(\d+)\s+([^\s,]+)\s+NPTS\s*,?\s*DT", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}")
_UNITS: Mapping[str, Unit] = {
    "G": "g",
    "CM/S2": "cm/s2",
    "CM/S/S": "cm/s2",
    "CM/S*S": "cm/s2",
    "GAL": "cm/s2",
    "GALS": "cm/s2",
    "M/S2": "m/s2",
    "M/S/S": "m/s2",
}
_HEADER_LINES, _MOST_HEADER_LINES = 4, 12
_COLUMNS = 5


def read_at2(path: Path, unit: Unit) -> Iterator[Record]:
    """PEER's format: three lines of text or some more, one with NPTS and DT, then values."""
    text = text_of(path)
    lines = text.split("\n") if text else []
    if len(lines) <= _HEADER_LINES:
        raise DataError(f"{path}: {len(lines)} lines", expected="four lines of header, then accelerations")
    last = next((place for place, line in enumerate(lines[:_MOST_HEADER_LINES]) if sizes_of(line)), _HEADER_LINES - 1)
    match = sizes_of(lines[last])
    if match is None:
        raise DataError(
            f"{path}, line {last + 1}: '{lines[last].strip()[:60]}'",
            expected="'NPTS= 4000, DT= .0050 SEC' or '4000 .0050 NPTS, DT'",
        )
    number, dt_s = int(match[1]), numbers(path, match[2], where=f", line {last + 1}: DT")[0]
    values = numbers(path, " ".join(lines[last + 1 :]))
    if len(values) != number:
        raise DataError(f"{path}: {len(values)} values", expected=f"{number}, as NPTS says")
    event, station, component = _place(lines[1])
    date = moment_of(lines[1])
    yield Record(
        values / G_IN[_stated_unit(path, lines, last) or unit],
        float(dt_s),
        event or str(path),
        station or path.stem,
        str(path),
        metadata=Metadata(vertical=vertical_of(component)),
        component=component,
        origin=Origin() if date is None else Origin(*date),
    )


def at2_text(samples: np.ndarray, *, dt_s: float, title: str, place: str) -> str:
    """A record in g in PEER's format, as :func:`read_at2` reads it.

    Args:
        place: second line: event, date, station and component, with commas between them.
    """
    rows = [samples[start : start + _COLUMNS] for start in range(0, len(samples), _COLUMNS)]
    header = [title, place, "ACCELERATION TIME SERIES IN UNITS OF G"]
    header.append(f"NPTS= {len(samples)}, DT= {dt_s:.5f} SEC")
    return "\n".join([*header, *("".join(f"{value:15.7E}" for value in row) for row in rows)]) + "\n"


def _place(line: str) -> tuple[str, str, str]:
    """Event, station and component: what stands before the date, after it, and last.

    Without a date: the first, the middle and the last of what stands between commas.
    """
    fields = [part.strip() for part in line.split(",")]
    dates = [index for index, part in enumerate(fields[1:-1], start=1) if _DATE.search(part)]
    if not dates:
        return fields[0], ", ".join(fields[1:-1]), fields[-1] if len(fields) > 1 else ""
    date = dates[0]
    return ", ".join(fields[:date]), ", ".join(fields[date + 1 : -1]), fields[-1]


def sizes_of(line: str) -> re.Match[str] | None:
    """Number and step, where ``line`` is the last of a header."""
    return _NEW_HEADER.search(line) or _OLD_HEADER.search(line)


def _stated_unit(path: Path, lines: Sequence[str], last: int) -> Unit | None:
    """That of the third line, or of one between it and the sizes on line ``last``, if any states one."""
    found = (_unit_on(path, lines[place], place + 1) for place in range(min(2, last), last))
    return next((unit for unit in found if unit is not None), None)


def _unit_on(path: Path, line: str, number: int) -> Unit | None:
    if (stated := re.search(r"UNITS? OF\s+(\S+)", line, re.IGNORECASE)) and _unit(stated[1]) is None:
        raise DataError(f"{path}, line {number}: unit '{stated[1]}'", expected=f"one of {', '.join(_UNITS)}")
    if stated:
        return _unit(stated[1])
    return unit_of(line)


def unit_of(line: str) -> Unit | None:
    """The unit that some word of ``line`` names."""
    words = [word for word in re.split(r"[\s,;:=()\[\]]+", line) if len(word) > 1]  # a lone G may be anything
    return next((unit for word in words if (unit := _unit(word)) is not None), None)


def _unit(word: str) -> Unit | None:
    plain = re.sub(r"SEC|\*|\^", lambda found: "S" if found[0] == "SEC" else "", word.upper().strip(".,;()"))
    return _UNITS.get(plain)
