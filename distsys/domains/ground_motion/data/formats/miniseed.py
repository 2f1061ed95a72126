"""Records in miniSEED, made accelerations by a StationXML beside them, or by a gain; events of a QuakeML beside them.

Needs ObsPy (extra ``obspy``). Sources: SEED 2.4; StationXML 1.x and QuakeML 1.2 (FDSN).
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from distsys.domains.ground_motion.data.origins import Origin, apart_km, rupture_distance_km
from distsys.domains.ground_motion.data.records import G_IN, Declared, Metadata, Record, in_range, vertical_of
from distsys.domains.ground_motion.data.text import bytes_of
from distsys.errors import DataError

_HEAD = 4096
_BEFORE_S = 300.0
"""Between an earthquake and the start of a record of it, at most."""
_PASS_HZ = (0.05, 0.1, 40.0, 50.0)
"""Corners between which the response of a seismometer is taken away."""


def is_miniseed(head: bytes) -> bool:
    """By its sequence number and quality (version 2), or its mark (version 3)."""
    return head[:3] == b"MS\x03" or (
        head[:6].isdigit() and head[6:7] in (b"D", b"R", b"Q", b"M") and head[7:8] in (b" ", b"\0")
    )


def read_miniseed(path: Path, declared: Declared) -> Iterator[Record | DataError]:
    """Every trace of a file.

    Counts need ``declared.counts_per_m_s2`` or a StationXML (.xml) in the folder; traces of real numbers without either
    are accelerations in ``declared.unit``.

    Raises:
        DataError: ObsPy is not installed, or the file is damaged.
    """
    obspy = obspy_module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traces = obspy.read(str(path), format="MSEED").merge()
        except Exception as error:
            raise DataError(f"{path}: cannot be read as miniSEED ({error})") from None
    for trace in traces:
        try:
            yield _record(path, trace, declared)
        except DataError as error:
            yield error


def obspy_module() -> Any:
    """ObsPy.

    Raises:
        DataError: it is not installed.
    """
    if importlib.util.find_spec("obspy") is None:
        raise DataError("miniSEED needs ObsPy, which is not installed", fix="pip install 'distsys[obspy]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("obspy")


def _record(path: Path, trace: Any, declared: Declared) -> Record:
    stats, name = trace.stats, f"{path}/{trace.id}"
    if np.ma.isMaskedArray(trace.data):
        raise DataError(f"{name}: has gaps", expected="a whole record", fix="cut it before or after the gap")
    begins = datetime.fromtimestamp(stats.starttime.timestamp, UTC)
    inventory, catalogue = _beside(path.parent)
    event = _event_of(catalogue, begins, begins.timestamp() + stats.npts * stats.delta)
    origin, magnitude = _origin_of(event) if event is not None else (Origin(), math.nan)
    site = _site(inventory, trace)
    epicentral_km = apart_km(site, origin.place) if site and origin.place else None
    distance_km = rupture_distance_km(magnitude=magnitude, epicentral_km=epicentral_km, depth_km=origin.depth_km)
    return Record(
        _in_g(name, trace, inventory, declared),
        float(stats.delta),
        _named(event) or origin.text() or str(path),
        stats.station or path.stem,
        name,
        metadata=Metadata(
            in_range("magnitude", magnitude, where=name), distance_km, vertical=vertical_of(stats.channel)
        ),
        network=stats.network,
        component=stats.channel,
        begins=begins,
        origin=origin,
    )


def _in_g(name: str, trace: Any, inventory: Any, declared: Declared) -> np.ndarray:
    """[time] accelerations by the gain, the response, or as they are."""
    samples = np.asarray(trace.data, dtype=np.float64)
    if declared.counts_per_m_s2:
        return samples / declared.counts_per_m_s2 / G_IN["m/s2"]
    response = _response(inventory, trace)
    if response is None:
        if trace.data.dtype.kind == "f":
            return samples / G_IN[declared.unit]
        raise DataError(
            f"{name}: counts without a response",
            expected="a StationXML (.xml) in the folder that holds this channel at this time",
            fix="put it there, or say counts_per_m_s2 in a metadata.csv beside the file",
        )
    sensitivity = response.instrument_sensitivity
    if sensitivity is None or not sensitivity.value:
        raise DataError(
            f"{name}: its StationXML gives no sensitivity", expected="InstrumentSensitivity in counts per m/s2"
        )
    if (sensitivity.input_units or "").upper() in ("M/S**2", "M/S^2", "M/S/S"):
        return samples / float(sensitivity.value) / G_IN["m/s2"]
    moved = trace.copy()
    moved.data = samples
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moved.remove_response(inventory=inventory, output="ACC", pre_filt=_PASS_HZ)
    return np.asarray(moved.data) / G_IN["m/s2"]


@cache
def _beside(folder: Path) -> tuple[Any, Any]:
    """Stations and events of every .xml in a folder; None where there are none."""
    obspy = obspy_module()
    inventory, catalogue = None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(folder.glob("*.xml")):
            head = bytes_of(path, _HEAD)
            try:
                if b"FDSNStationXML" in head:
                    found = obspy.read_inventory(str(path), format="STATIONXML")
                    inventory = found if inventory is None else inventory + found
                elif b"quakeml" in head:
                    found = obspy.read_events(str(path), format="QUAKEML")
                    catalogue = found if catalogue is None else catalogue + found
            except Exception as error:
                raise DataError(f"{path}: cannot be read ({error})", expected="StationXML or QuakeML") from None
    return inventory, catalogue


def _response(inventory: Any, trace: Any) -> Any:
    """That of the channel at the time; None where none is known."""
    try:
        return inventory.get_response(trace.id, trace.stats.starttime) if inventory is not None else None
    except Exception:
        return None


def _site(inventory: Any, trace: Any) -> tuple[float, float] | None:
    try:
        found = inventory.get_coordinates(trace.id, trace.stats.starttime) if inventory is not None else None
    except Exception:
        return None
    return (float(found["latitude"]), float(found["longitude"])) if found else None


def _event_of(catalogue: Sequence[Any] | None, begins: datetime, ends_s: float) -> Any:
    """The only event that a record of this time can be of; None where there are none or several."""
    times = [(event.preferred_origin() or (event.origins or [None])[0], event) for event in catalogue or ()]
    found = [
        event
        for origin, event in times
        if origin and -_BEFORE_S <= origin.time.timestamp - begins.timestamp() <= ends_s - begins.timestamp()
    ]
    return found[0] if len(found) == 1 else None


def _origin_of(event: Any) -> tuple[Origin, float]:
    origin = event.preferred_origin() or event.origins[0]
    magnitude = event.preferred_magnitude() or (event.magnitudes or [None])[0]
    depth_km = None if origin.depth is None else float(origin.depth) / 1000.0
    time = datetime.fromtimestamp(origin.time.timestamp, UTC)
    return Origin(time, 1.0, origin.latitude, origin.longitude, depth_km), float(
        magnitude.mag
    ) if magnitude else math.nan


def _named(event: Any) -> str:
    """The name of an earthquake, where its event has one, else the end of its identifier."""
    if event is None:
        return ""
    names = [item.text for item in event.event_descriptions if item.type == "earthquake name"]
    return names[0] if names else str(event.resource_id).rpartition("/")[2].rpartition("=")[2]
