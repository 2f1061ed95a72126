"""Acceleration records in HDF5 (.h5, .hdf5), a data set each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distsys.domains.ground_motion.config import Unit
from distsys.domains.ground_motion.data.origins import Origin, moment_of
from distsys.domains.ground_motion.data.records import G_IN, Metadata, Record, vertical_of
from distsys.errors import DataError

_PLACE = ("latitude_deg", "longitude_deg", "depth_km")
"""Attributes of the earthquake, beside ``origin_time``."""


def read_hdf5(path: Path, unit: Unit) -> Iterator[Record | DataError]:
    """Datasets [time] with the attribute ``dt`` in s, anywhere in the file; ``event`` and ``station`` where known."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            datasets: list[tuple[str, Any]] = []
            file.visititems(lambda key, item: datasets.append((key, item)) if isinstance(item, h5py.Dataset) else None)
            for key, item in datasets:
                yield _record(f"{path}/{key}", item, unit)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="an HDF5 file of accelerations") from None


def _record(name: str, item: Any, unit: Unit) -> Record | DataError:
    attributes = {key: value.decode() if isinstance(value, bytes) else value for key, value in item.attrs.items()}
    own = str(attributes.get("unit", unit))
    if "dt" not in attributes:
        return DataError(f"{name}: no attribute 'dt'", expected="seconds between samples")
    if own not in G_IN:
        return DataError(f"{name}: unit '{own}'", expected=f"one of {', '.join(G_IN)}")
    if item.dtype.kind not in "biuf":
        return DataError(f"{name}: type {item.dtype}", expected="numbers")
    try:
        known = {key: float(attributes[key]) for key in ("magnitude", "distance_km", "vs30_m_s") if key in attributes}
        place: dict[str, Any] = {key: float(attributes[key]) for key in _PLACE if key in attributes}
        dt_s, samples = float(attributes["dt"]), np.asarray(item[()], dtype=np.float64)
    except (OSError, TypeError, ValueError) as error:
        return DataError(f"{name}: {error}", expected="numbers")
    metadata = Metadata(**known, vertical=vertical_of(str(attributes.get("component", ""))))
    event, station = (str(attributes.get(key, name)) for key in ("event", "station"))
    time = moment_of(str(attributes.get("origin_time", "")))
    return Record(
        samples / G_IN[own],
        dt_s,
        event,
        station,
        name,
        metadata=metadata,
        network=str(attributes.get("network", "")),
        component=str(attributes.get("component", "")),
        origin=Origin(*(time or (None, 1.0)), **place),
    )
