"""What the text headers of Californian formats (COSMOS, CSMIP) say in words: event, origin, focus, magnitude, start."""

from __future__ import annotations

import re
from datetime import datetime

from distsys.domains.ground_motion.data.origins import Origin, moment_of

_HYPOCENTRE = re.compile(
    r"Hypocenter:\s*(?P<north>-?\d+\.\d+)\s*(?P<ns>[NS])?[,\s]+(?P<east>-?\d+\.\d+)\s*(?P<ew>[EW])?"
    r"(?:[,\s]*H\s*=\s*(?P<depth>\d+(?:\.\d*)?)\s*km)?",
    re.IGNORECASE,
)
_MAGNITUDES = ("w", "L", "s")
"""Moment magnitude before that of local waves before that of surface waves."""


def origin_in(text: str) -> Origin:
    """Time and place of the earthquake that a header names."""
    time, within_s = _after(r"Origin:", text) or _after(r"Record of .*? of ", text) or (None, 1.0)
    found = _HYPOCENTRE.search(text)
    if found is None:
        return Origin(time, within_s)
    north = -float(found["north"]) if found["ns"] in ("S", "s") else float(found["north"])
    east = -float(found["east"]) if found["ew"] in ("W", "w") else float(found["east"])
    return Origin(time, within_s, north, east, float(found["depth"]) if found["depth"] else None)


def start_in(text: str) -> datetime | None:
    """Time of the first sample."""
    found = _after(r"(?:Rcrd )?Start time:", text)
    return found[0] if found else None


def magnitude_in(text: str) -> float | None:
    """The first of Mw, ML and Ms that is given a number."""
    for kind in _MAGNITUDES:
        if found := re.search(rf"\bM{kind}\s*[:=]\s*(\d+\.\d+)", text, re.IGNORECASE):
            return float(found[1])
    return None


def event_in(text: str) -> str:
    """The name of the earthquake; empty where a header has none."""
    found = re.search(r"^\s*Record of (?:the )?(.+?) Earthquake", text, re.IGNORECASE | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _after(mark: str, text: str) -> tuple[datetime, float] | None:
    """The time that follows ``mark`` on its line."""
    found = re.search(rf"{mark}([^\n]*)", text, re.IGNORECASE)
    return moment_of(_spelt(found[1])) if found else None


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _spelt(text: str) -> str:
    """``Nov 30, 2018 17:29`` as ``2018-11-30 17:29``."""
    return re.sub(
        rf"({'|'.join(_MONTHS)})[a-z]*\s+(\d{{1,2}}),?\s*(\d{{4}})",
        lambda found: f"{found[3]}-{_MONTHS.index(found[1].capitalize()) + 1:02d}-{int(found[2]):02d}",
        text,
        flags=re.IGNORECASE,
    )
