"""Acceleration records from PEER .at2, .npz and .h5 files, in g; every fault of every file is named at once."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import DataConfig, Unit
from distsys.errors import DataError

G_IN = {"g": 1.0, "m/s2": 9.80665, "cm/s2": 980.665}
"""Units that make one g."""
_LARGEST_G, _SMALLEST_G = 5.0, 1e-5
"""Peak of a record: above the largest ever recorded, or below what a strong-motion instrument resolves."""
_NEAREST_KM = 0.1
_METADATA = {"magnitude": (2.0, 9.5), "distance_km": (0.0, 20_000.0), "vs30_m_s": (10.0, 10_000.0)}
"""Lowest and highest that can be meant."""
_SHORTEST_STEP_S = 1e-4
_AT2_NEW = re.compile(r"NPTS\s*=\s*(\d+)\s*,?\s*DT\s*=\s*([\d.Ee+-]+)", re.IGNORECASE)
_AT2_OLD = re.compile(r"^\s*(\d+)\s+([\d.Ee+-]+)\s+NPTS\s*,?\s*DT", re.IGNORECASE)
_HEADER_LINES = 4
_AT2_COLUMNS = 5


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
class Record:
    """One component.

    Args:
        samples: [time] float64 in g.
        dt_s: seconds between samples.
        event, station: what it shares with its siblings; components of one event are never split. A record that
            does not say its event is an event of its own, named like the record.
        name: file, and key within it.
        source: end of the path that was asked for, or a name.
    """

    samples: np.ndarray
    dt_s: float
    event: str
    station: str
    name: str
    source: str = ""
    metadata: Metadata = Metadata()


def read_records(data: DataConfig, faults: Faults) -> list[Record]:
    """Every usable record of ``data.records``, by name; what is at fault is noted and left out.

    Raises:
        DataError: a path does not exist, or holds no record files.
    """
    found: list[Record] = []
    for place in data.records:
        for path in _files(place):
            records = _read_file(path, data.unit, faults)
            found += usable((replace(record, source="/".join(place.parts[-2:])) for record in records), faults)
    return sorted(found, key=lambda record: record.name)


def usable(records: Iterable[Record], faults: Faults) -> list[Record]:
    """Those that can be acceleration in g; what is wrong with the others is noted."""
    found = []
    for record in records:
        try:
            found.append(_checked(record))
        except DataError as error:
            faults.note(error)
    return found


def read_one(path: Path, unit: Unit) -> Record:
    """The only record of a file.

    Raises:
        DataError: the file is at fault, or holds several.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}", expected="a file with one record")
    faults = Faults(path)
    found = list(_read_file(path, unit, faults))
    if faults.lines:
        raise DataError(faults.lines[0])
    if len(found) != 1:
        raise DataError(f"{path}: {len(found)} records", expected="a file with one")
    return _checked(found[0])


def at2_text(samples: np.ndarray, *, dt_s: float, title: str, place: str) -> str:
    """A record in g in PEER's format, as :func:`read_records` reads it.

    Args:
        place: second line: event, date, station and component, with commas between them.
    """
    rows = [samples[start : start + _AT2_COLUMNS] for start in range(0, len(samples), _AT2_COLUMNS)]
    header = [title, place, "ACCELERATION TIME SERIES IN UNITS OF G"]
    header.append(f"NPTS= {len(samples)}, DT= {dt_s:.5f} SEC")
    return "\n".join([*header, *("".join(f"{value:15.7E}" for value in row) for row in rows)]) + "\n"


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.exists():
        raise DataError(f"{place}: no such file or folder", fix="mend data.records")
    found = sorted(path for path in place.rglob("*") if path.suffix.lower() in _READERS and path.is_file())
    if not found:
        raise DataError(f"{place}: no records", expected=f"files or folders with {', '.join(_READERS)}")
    return found


def _read_file(path: Path, unit: Unit, faults: Faults) -> Iterator[Record]:
    reader = _READERS.get(path.suffix.lower())
    try:
        if reader is None:
            raise DataError(f"{path}: unknown kind of file", expected=", ".join(_READERS))
        for found in reader(path, unit):
            if isinstance(found, Record):
                yield found
            else:
                faults.note(found)
    except DataError as error:
        faults.note(error)


def _checked(record: Record) -> Record:
    """The record, when it can be one of acceleration in g."""
    samples = record.samples
    if samples.ndim != 1 or len(samples) < 2:
        raise DataError(f"{record.name}: {samples.shape} values", expected="one row of accelerations")
    broken = int((~np.isfinite(samples)).sum())
    if broken:
        raise DataError(f"{record.name}: {broken} of {len(samples)} values are not finite")
    if not _SHORTEST_STEP_S <= record.dt_s < math.inf:
        raise DataError(f"{record.name}: a time step of {record.dt_s} s", expected="seconds between samples")
    for name, (low, high) in _METADATA.items():
        value = getattr(record.metadata, name)
        if not (low <= value <= high or math.isnan(value)):
            raise DataError(f"{record.name}: {name} is {value:g}", expected=f"{low:g} to {high:g}, or nothing")
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


def _read_at2(path: Path, unit: Unit) -> Iterator[Record]:
    """PEER's format: three lines of text, one with NPTS and DT, then values."""
    lines = _text(path).splitlines()
    if len(lines) <= _HEADER_LINES:
        raise DataError(f"{path}: {len(lines)} lines", expected="four lines of header, then accelerations")
    header = lines[_HEADER_LINES - 1]
    match = _AT2_NEW.search(header) or _AT2_OLD.search(header)
    if match is None:
        raise DataError(
            f"{path}, line {_HEADER_LINES}: '{header.strip()[:60]}'",
            expected="'NPTS= 4000, DT= .0050 SEC' or '4000 .0050 NPTS, DT'",
        )
    number, dt_s = int(match[1]), _numbers(path, match[2])[0]
    values = _numbers(path, " ".join(lines[_HEADER_LINES:]))
    if len(values) != number:
        raise DataError(f"{path}: {len(values)} values", expected=f"{number}, as NPTS says")
    event, station, component = _place(lines[1])
    yield Record(
        values / G_IN[_stated_unit(path, lines[_HEADER_LINES - 2]) or unit],
        float(dt_s),
        event or str(path),
        station or path.stem,
        str(path),
        metadata=Metadata(vertical=_vertical(component)),
    )


def _place(line: str) -> tuple[str, str, str]:
    """Event, station and component: the first, the middle and the last of what stands between commas."""
    fields = [part.strip() for part in line.split(",")]
    middle = fields[1:-1]
    if len(middle) > 1 and re.search(r"\d", middle[0]):  # a date
        middle = middle[1:]
    return fields[0], ", ".join(middle), fields[-1] if len(fields) > 1 else ""


def _stated_unit(path: Path, line: str) -> Unit | None:
    """That of the third line, if it states one."""
    stated = re.search(r"UNITS OF\s+(\S+)", line, re.IGNORECASE)
    if stated is None:
        return None
    plain = re.sub(r"SEC|\*|\^", lambda found: "S" if found[0] == "SEC" else "", stated[1].upper().strip(".,;()"))
    known: Mapping[str, Unit] = {
        "G": "g",
        "CM/S2": "cm/s2",
        "CM/S/S": "cm/s2",
        "GAL": "cm/s2",
        "M/S2": "m/s2",
        "M/S/S": "m/s2",
    }
    if plain not in known:
        raise DataError(f"{path}, line {_HEADER_LINES - 1}: unit '{stated[1]}'", expected=f"one of {', '.join(known)}")
    return known[plain]


def _vertical(component: str) -> float:
    """By SEED's orientation codes, PEER's names, or an azimuth in degrees; NaN for anything else."""
    code = component.strip().upper()
    if code in ("UP", "DWN", "DN", "V", "VER", "VERT", "Z") or re.fullmatch(r"[A-Z]{2}Z", code):
        return 1.0
    return 0.0 if re.fullmatch(r"\d+|[A-Z]{2}[NE123]|[NEHXY]", code) else math.nan


def _numbers(path: Path, text: str) -> np.ndarray:
    try:
        return np.array([float(item) for item in text.split()])
    except ValueError as error:
        raise DataError(f"{path}: {error}", expected="numbers after the header") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="latin-1")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _read_npz(path: Path, unit: Unit) -> Iterator[Record]:
    """``signal_broadband`` [time] in units of ``pga_broadband`` when that is there, at ``sampling_rate`` Hz."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            content: Mapping[str, np.ndarray] = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="an .npz without pickled objects") from None
    for name in ("signal_broadband", "sampling_rate"):
        if name not in content:
            raise DataError(f"{path}: no '{name}' (there are {', '.join(content) or 'none'})")
    samples = _numeric(path, content, "signal_broadband").squeeze()
    rate_hz = _single(path, content, "sampling_rate")
    if not rate_hz > 0.0:
        raise DataError(f"{path}: sampling_rate {rate_hz:g}", expected="samples a second")
    if "pga_broadband" in content:
        samples = _denormalised(path, samples, _single(path, content, "pga_broadband"))
    event, station = (str(content[name]) if name in content else str(path) for name in ("event", "station"))
    yield Record(samples / G_IN[unit], 1.0 / rate_hz, event, station, str(path))


def _numeric(path: Path, content: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if content[name].dtype.kind not in "biuf":
        raise DataError(f"{path}: '{name}' has type {content[name].dtype}", expected="numbers")
    return np.asarray(content[name], dtype=np.float64)


def _single(path: Path, content: Mapping[str, np.ndarray], name: str) -> float:
    values = _numeric(path, content, name)
    if values.size != 1:
        raise DataError(f"{path}: '{name}' has {values.size} values", expected="one number")
    return float(values.reshape(()))


def _denormalised(path: Path, samples: np.ndarray, pga: float) -> np.ndarray:
    """``samples`` times ``pga``, if they peak at 1; a record that peaks at its PGA is physical already."""
    peak = float(np.abs(samples).max(initial=0.0))
    if np.isclose(peak, 1.0, rtol=0.01):
        return samples * pga
    if np.isclose(peak, pga, rtol=0.01):
        return samples
    raise DataError(
        f"{path}: signal_broadband peaks at {peak:.4g}, pga_broadband is {pga:.4g}",
        expected="a peak of 1 (normalised) or of pga_broadband (physical)",
        fix=f"a peak of {pga * pga:.4g} would be a record that was multiplied by its PGA twice",
    )


def _read_h5(path: Path, unit: Unit) -> Iterator[Record | DataError]:
    """Datasets [time] with the attribute ``dt`` in s, anywhere in the file; ``event`` and ``station`` where known."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            datasets: list[tuple[str, Any]] = []
            file.visititems(lambda key, item: datasets.append((key, item)) if isinstance(item, h5py.Dataset) else None)
            for key, item in datasets:
                yield _h5_record(f"{path}/{key}", item, unit)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="an HDF5 file of accelerations") from None


def _h5_record(name: str, item: Any, unit: Unit) -> Record | DataError:
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
        dt_s, samples = float(attributes["dt"]), np.asarray(item[()], dtype=np.float64)
    except (OSError, TypeError, ValueError) as error:
        return DataError(f"{name}: {error}", expected="numbers")
    metadata = Metadata(**known, vertical=_vertical(str(attributes.get("component", ""))))
    event, station = (str(attributes.get(key, name)) for key in ("event", "station"))
    return Record(samples / G_IN[own], dt_s, event, station, name, metadata=metadata)


_READERS: Mapping[str, Callable[[Path, Unit], Iterator[Record | DataError]]] = {
    ".at2": _read_at2,
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
}
