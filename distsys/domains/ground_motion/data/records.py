"""One acceleration record in g, what is known of it, and whether it can be one at all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import Unit
from distsys.domains.ground_motion.data.origins import Origin
from distsys.errors import DataError

G_IN = {"g": 1.0, "m/s2": 9.80665, "cm/s2": 980.665}
"""Units that make one g."""
_LARGEST_G, _SMALLEST_G = 5.0, 1e-5
"""Peak of a record: above the largest ever recorded, or below what a strong-motion instrument resolves."""
_NEAREST_KM = 0.1
RANGES = {
    "magnitude": (2.0, 9.5),
    "distance_km": (0.0, 20_000.0),
    "vs30_m_s": (10.0, 10_000.0),
    "latitude_deg": (-90.0, 90.0),
    "longitude_deg": (-180.0, 360.0),
    "depth_km": (-5.0, 800.0),
    "dt_s": (1e-4, 0.1),
}
"""Lowest and highest that can be meant."""


@dataclass(frozen=True)
class Metadata:
    """What is known of a record besides its samples; NaN where it is not.

    Args:
        vertical: 1 for a vertical component, 0 for a horizontal one.
    """

    magnitude: float = math.nan
    distance_km: float = math.nan
    vs30_m_s: float = math.nan
    vertical: float = math.nan

    def row(self) -> tuple[float, ...]:
        """As levels are regressed on it."""
        distance_km = max(self.distance_km, _NEAREST_KM) if math.isfinite(self.distance_km) else math.nan
        return self.magnitude, math.log(distance_km), math.log(self.vs30_m_s), self.vertical


@dataclass(frozen=True)
class Declared:
    """What holds where a file does not say its own.

    Args:
        dt_s: seconds between samples; None where nothing is declared.
        counts_per_m_s2: gain of a recorder.
    """

    unit: Unit = "g"
    dt_s: float | None = None
    counts_per_m_s2: float | None = None


@dataclass(frozen=True)
class Record:
    """One component.

    Args:
        samples: [time] float64 in g.
        dt_s: seconds between samples.
        event, station: what it shares with its siblings; components of one event are never split. A record that
            does not say its event is an event of its own, named like the record.
        name: file, and key within it.
        source: end of the path that was asked for, or a name.
        form: the format of its file; what another format calls events are names of another catalogue.
        network, component: as its file calls them.
        begins: time of the first sample in UTC.
        origin: of its earthquake.
    """

    samples: np.ndarray
    dt_s: float
    event: str
    station: str
    name: str
    source: str = ""
    metadata: Metadata = Metadata()
    form: str = ""
    network: str = ""
    component: str = ""
    begins: datetime | None = None
    origin: Origin = field(default_factory=Origin)

    @property
    def tells_event(self) -> bool:
        """Whether its event is more than the name of the record or of its file."""
        return self.event not in (self.name, self.name.rpartition("/")[0])


def usable(records: Iterable[Record], faults: Faults) -> list[Record]:
    """Those that can be acceleration in g; what is wrong with the others is noted."""
    found = []
    for record in records:
        try:
            found.append(checked(record))
        except DataError as error:
            faults.note(error)
    return found


def checked(record: Record) -> Record:
    """The record, when it can be one of acceleration in g."""
    samples = record.samples
    if samples.ndim != 1 or len(samples) < 2:
        raise DataError(f"{record.name}: {samples.shape} values", expected="one row of accelerations")
    broken = int((~np.isfinite(samples)).sum())
    if broken:
        raise DataError(f"{record.name}: {broken} of {len(samples)} values are not finite")
    if not RANGES["dt_s"][0] <= record.dt_s < math.inf:
        raise DataError(f"{record.name}: a time step of {record.dt_s} s", expected="seconds between samples")
    for name in ("magnitude", "distance_km", "vs30_m_s"):
        in_range(name, getattr(record.metadata, name), where=record.name)
    if np.ptp(samples) == 0.0:
        raise DataError(f"{record.name}: constant at {samples[0]:g} g")
    peak = float(np.abs(samples - samples.mean()).max())
    if peak > _LARGEST_G:
        unit = next((name for name in ("m/s2", "cm/s2") if peak / G_IN[name] <= 2.0), "cm/s2")
        raise DataError(
            f"{record.name}: peaks at {peak:.4g} g, more than any record",
            expected=f"at most {_LARGEST_G:g} g",
            fix=f"if its values are in {unit}, the peak is {peak / G_IN[unit]:.3g} g: say so in data.unit "
            f"(or --unit), unless the file itself states a unit: then mend that",
        )
    if peak < _SMALLEST_G:
        raise DataError(
            f"{record.name}: peaks at {peak:.3g} g, below what instruments resolve",
            expected=f"at least {_SMALLEST_G:g} g",
            fix="it may have been scaled twice: multiplied by its own PGA, say",
        )
    return record


def in_range(name: str, value: float, *, where: str) -> float:
    """``value``, when it can be meant or is NaN.

    Raises:
        DataError: it lies outside of :data:`RANGES`.
    """
    low, high = RANGES[name]
    if low <= value <= high or math.isnan(value):
        return value
    kilo = f"{1000.0 * value:g} if it is in km" if low <= 1000.0 * value <= high and 0.0 < value < low else ""
    raise DataError(f"{where}: {name} is {value:g}", expected=f"{low:g} to {high:g}, or nothing", fix=kilo)


def vertical_of(component: str) -> float:
    """By SEED's orientation codes, PEER's names, or an azimuth in degrees; NaN for anything else."""
    code = component.strip().upper()
    if code in ("UP", "DWN", "DN", "V", "VER", "VERT", "Z") or re.fullmatch(r"[A-Z]{2}Z", code):
        return 1.0
    return 0.0 if re.fullmatch(r"\d+|[A-Z]{2}[NE123]|[NEHXY]", code) else math.nan
