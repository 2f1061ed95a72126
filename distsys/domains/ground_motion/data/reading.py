"""Acceleration records from files and folders of any kind; every fault of every file is named at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import DataConfig, Unit
from distsys.domains.ground_motion.data.at2 import read_at2
from distsys.domains.ground_motion.data.hdf5 import read_hdf5
from distsys.domains.ground_motion.data.npz import read_npz
from distsys.domains.ground_motion.data.records import Record, checked, usable
from distsys.errors import DataError


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
    return checked(found[0])


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


_READERS: Mapping[str, Callable[[Path, Unit], Iterator[Record | DataError]]] = {
    ".at2": read_at2,
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
