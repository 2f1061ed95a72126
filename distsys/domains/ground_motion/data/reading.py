"""Acceleration records from files and folders of any kind; every fault of every file is named at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.beside import NAME, Beside
from distsys.domains.ground_motion.data.formats.table import FORMATS, format_of, is_foreign, unknown
from distsys.domains.ground_motion.data.records import Declared, Record, checked, usable
from distsys.errors import DataError


def read_records(data: DataConfig, faults: Faults) -> list[Record]:
    """Every usable record of ``data.records``, by name; what is at fault is noted and left out.

    Raises:
        DataError: a path does not exist, or holds no record files.
    """
    found: list[Record] = []
    beside, declared = Beside(faults), Declared(data.unit, data.dt_s)
    for place in data.records:
        for path in _files(place):
            records = _read_file(path, declared, beside, faults)
            found += usable((replace(record, source="/".join(place.parts[-2:])) for record in records), faults)
    return sorted(found, key=lambda record: record.name)


def read_one(path: Path, declared: Declared) -> Record:
    """The only record of a file, with what a ``metadata.csv`` beside it says.

    Raises:
        DataError: the file is at fault, or holds several.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}", expected="a file with one record")
    faults = Faults(path)
    found = list(_read_file(path, declared, Beside(faults), faults))
    if faults.lines:
        raise DataError(faults.lines[0])
    if len(found) != 1:
        raise DataError(f"{path}: {len(found)} records", expected="a file with one")
    return checked(found[0])


def _files(place: Path) -> list[Path]:
    """Of a folder, the files whose format is known, and those that may hold records of a format that is not."""
    if place.is_file():
        return [place]
    if not place.exists():
        raise DataError(f"{place}: no such file or folder", fix="mend data.records")
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name.casefold() != NAME)
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(place).parts)]
    found = [path for path in files if is_foreign(path) or format_of(path) is not None]
    if not found:
        formats = ", ".join(item.name for item in FORMATS)
        raise DataError(f"{place}: no records", expected=f"files or folders with {formats}")
    return found


def _read_file(path: Path, declared: Declared, beside: Beside, faults: Faults) -> Iterator[Record]:
    try:
        form = format_of(path)
        if form is None:
            raise unknown(path)
        for found in beside.told(path, form.read(path, beside.row(path).declared(declared))):
            if isinstance(found, Record):
                yield replace(found, form=form.name)
            else:
                faults.note(found)
    except DataError as error:
        faults.note(error)
