"""Where and when an earthquake began, as far as a record's file says."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

_EARTH_KM = 6371.0
_POINT_SOURCE_BELOW = 6.0
"""Magnitude from which a rupture is so long that the distance from its focus says little of the nearest one."""
DATE_S, MINUTE_S, YEAR_S = 1.5 * 86400.0, 90.0, 184.0 * 86400.0
"""How exact a time is of which the date, the minute, or the year is given; a date may be of any zone."""
_ZONES_H = {"PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "MST": -7, "CST": -6, "EST": -5, "JST": 9}
_MOMENT = re.compile(
    r"(?:(?P<y>\d{4})[/.-](?P<m>\d{1,2})[/.-](?P<d>\d{1,2})|(?P<m2>\d{1,2})[/.-](?P<d2>\d{1,2})[/.-](?P<y2>\d{2,4}))"
    r"(?:[T,_\s]+(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{1,2}(?:\.\d*)?))?)?\s*(?P<zone>Z\b|[A-Z]{3,4}\b|[+-]\d{2}:?\d{2})?"
)


@dataclass(frozen=True)
class Origin:
    """What is known of it; None where nothing is.

    Args:
        time: in UTC.
        within_s: how far from ``time`` it may have been.
        latitude_deg, longitude_deg: of the epicentre, north and east positive.
        depth_km: of the focus.
    """

    time: datetime | None = None
    within_s: float = 1.0
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    depth_km: float | None = None

    @property
    def place(self) -> tuple[float, float] | None:
        """Latitude and longitude, if both are known."""
        if self.latitude_deg is None or self.longitude_deg is None:
            return None
        return self.latitude_deg, self.longitude_deg

    def filled(self, other: Origin) -> Origin:
        """This one, with what only ``other`` knows; of two times the more exact one."""
        exact = self if self.time and (not other.time or self.within_s <= other.within_s) else other
        own = {name: getattr(self, name) for name in ("latitude_deg", "longitude_deg", "depth_km")}
        known = {name: value for name, value in own.items() if value is not None}
        return replace(other, time=exact.time, within_s=exact.within_s, **known)

    def text(self) -> str:
        """As a person writes it."""
        when = f"{self.time:%Y-%m-%d %H:%M:%S} UTC" if self.time and self.within_s < DATE_S else ""
        if self.time and not when:
            when = f"{self.time:%Y-%m-%d}" if self.within_s < YEAR_S else f"{self.time:%Y}"
        return " ".join([when, *(f"{self.place[0]:.2f}, {self.place[1]:.2f}" for _ in [0] if self.place)]).strip()


def moment_of(text: str, *, zone_h: float = 0.0) -> tuple[datetime, float] | None:
    """The first date in ``text``, in UTC, and how exact it is in s; month before day where the year is last.

    Args:
        zone_h: hours east of Greenwich of a time without a zone.
    """
    for found in _MOMENT.finditer(text):
        year = int(found["y"] or found["y2"])
        year += 0 if year > 99 else 2000 if year < 40 else 1900
        month, day = int(found["m"] or found["m2"]), int(found["d"] or found["d2"])
        seconds = float(found["s"] or 0.0)
        try:
            midnight = datetime(year, month, day, tzinfo=_zone(found["zone"], zone_h))
        except ValueError:
            continue
        if found["h"] is None:
            return midnight.replace(hour=12, tzinfo=UTC), DATE_S
        if int(found["h"]) > 23 or int(found["min"]) > 59 or seconds >= 61.0:
            continue
        clock = timedelta(hours=int(found["h"]), minutes=int(found["min"]), seconds=seconds)
        return (midnight + clock).astimezone(UTC), 1.0 if found["s"] else MINUTE_S
    return None


def _zone(word: str | None, zone_h: float) -> timezone:
    if word and word[0] in "+-":
        sign = -1 if word[0] == "-" else 1
        return timezone(sign * timedelta(hours=int(word[1:3]), minutes=int(word[-2:])))
    return timezone(timedelta(hours=_ZONES_H.get(word or "", 0.0 if word else zone_h)))


def apart_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Along the surface, between two places of latitude and longitude in degrees (haversine)."""
    (north, east), (other_north, other_east) = (tuple(map(math.radians, place)) for place in (one, other))
    half = math.sin((north - other_north) / 2.0) ** 2
    half += math.cos(north) * math.cos(other_north) * math.sin((east - other_east) / 2.0) ** 2
    return 2.0 * _EARTH_KM * math.asin(math.sqrt(min(1.0, half)))


def rupture_distance_km(*, magnitude: float, epicentral_km: float | None, depth_km: float | None) -> float:
    """The distance from the focus, of a small earthquake, for the closest one to the rupture; else NaN."""
    if epicentral_km is None or depth_km is None or not magnitude < _POINT_SOURCE_BELOW:
        return math.nan
    return math.hypot(epicentral_km, depth_km)
