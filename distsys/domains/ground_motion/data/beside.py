"""A ``metadata.csv`` in the folder of files: what is known of each, by its name, with the unit in every heading."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.data.origins import Origin, moment_of
from distsys.domains.ground_motion.data.records import G_IN, RANGES, Declared, Record, in_range, vertical_of
from distsys.domains.ground_motion.data.text import text_of
from distsys.errors import DataError, did_you_mean

NAME = "metadata.csv"
WORDS = ("event", "station", "network", "component", "origin_time", "unit")
NUMBERS = (*RANGES, "counts_per_m_s2")
_OF_METADATA = ("magnitude", "distance_km", "vs30_m_s")
_OF_ORIGIN = ("latitude_deg", "longitude_deg", "depth_km")
_SIZE = {"km": 1e3, "m": 1.0, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Row:
    """What a row says of a file; empty cells are left out."""

    where: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)

    def declared(self, declared: Declared) -> Declared:
        """Unit, step and gain, where the row states them, in place of the config's."""
        own: dict[str, Any] = {"unit": self.words.get("unit", declared.unit)}
        own |= {key: self.numbers[key] for key in ("dt_s", "counts_per_m_s2") if key in self.numbers}
        return replace(declared, **own)

    def applied(self, record: Record) -> Record:
        """``record`` with what the row says in place of what its file says."""
        said: dict[str, Any] = {
            key: self.words[key] for key in ("event", "station", "network", "component") if key in self.words
        }
        known: dict[str, Any] = {key: self.numbers[key] for key in _OF_METADATA if key in self.numbers}
        if "component" in said:
            known["vertical"] = vertical_of(said["component"])
        place: dict[str, Any] = {key: self.numbers[key] for key in _OF_ORIGIN if key in self.numbers}
        time = moment_of(self.words.get("origin_time", ""))
        origin = Origin(*(time or (None, 1.0)), **place).filled(record.origin)
        return replace(record, **said, metadata=replace(record.metadata, **known), origin=origin)


class Beside:
    """Tables of folders, each read once; what is wrong with them is noted.

    Args:
        faults: of the run.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._tables: dict[Path, Mapping[str, Row]] = {}

    def row(self, path: Path) -> Row:
        """What the table in the folder of ``path`` says of it."""
        folder = path.parent
        if folder not in self._tables:
            self._tables[folder] = self._table(folder / NAME) if (folder / NAME).is_file() else {}
        return self._tables[folder].get(path.name, Row())

    def told(self, path: Path, records: Iterable[Record | DataError]) -> Iterator[Record | DataError]:
        """What a file holds, with what the table says of the file and, by ``FILE/KEY``, of one of its records."""
        whole = self.row(path)
        own = {name: row for name, row in self._tables[path.parent].items() if name.startswith(f"{path.name}/")}
        for record in records:
            if isinstance(record, Record):
                row = own.pop(record.name.removeprefix(f"{path.parent}/"), Row())
                yield row.applied(whole.applied(record))
            else:
                yield record
        for name, row in own.items():
            yield DataError(f"{row.where}: no record '{name}'", expected=f"the name of a record in {path.name}")

    def _table(self, path: Path) -> Mapping[str, Row]:
        try:
            rows = list(csv.reader(io.StringIO(text_of(path)), strict=True))
            columns = _columns(path, rows)
        except (csv.Error, DataError) as error:
            self._faults.note(error if isinstance(error, DataError) else DataError(f"{path}: {error}"))
            return {}
        found: dict[str, Row] = {}
        for number, cells in enumerate(rows[1:], start=2):
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{path}, line {number}"
            try:
                name, row = _row(where, columns, cells)
                if name in found or not _is_there(path.parent / name):
                    what = "stands twice" if name in found else "is not there"
                    raise DataError(f"{where}: the file '{name}' {what}", expected="a row a file of this folder")
                found[name] = row
            except DataError as error:
                self._faults.note(error)
        return found


def _is_there(path: Path) -> bool:
    """Whether there is such a file, or one that may hold such a record."""
    return path.is_file() or any(parent.is_file() for parent in path.parents)


def _columns(path: Path, rows: list[list[str]]) -> list[str]:
    columns = [cell.strip().casefold() for cell in rows[0]] if rows else []
    for column in columns:
        if column not in ("file", *WORDS, *NUMBERS):
            raise DataError(
                f"{path}, line 1: column '{column}'",
                expected=f"file, {', '.join((*WORDS, *NUMBERS))}: with these units",
                fix=_meant(column) or did_you_mean(column, (*WORDS, *NUMBERS)),
            )
    if "file" not in columns or len(set(columns)) < len(columns):
        raise DataError(f"{path}, line 1: columns {', '.join(columns)}", expected="'file' and others, each once")
    return columns


def _meant(column: str) -> str:
    """Another unit of a column that is read."""
    base, _, unit = column.rpartition("_")
    meant = next((name for name in NUMBERS if base and name.startswith(f"{base}_")), "")
    if not meant or unit not in _SIZE or (target := meant.removeprefix(f"{base}_")) not in _SIZE:
        return ""
    return f"call it {meant} and multiply its values by {_SIZE[unit] / _SIZE[target]:g}"


def _row(where: str, columns: list[str], cells: list[str]) -> tuple[str, Row]:
    if len(cells) != len(columns):
        raise DataError(f"{where}: {len(cells)} cells", expected=f"{len(columns)}, as the heading has")
    given = {column: cell.strip() for column, cell in zip(columns, cells, strict=True) if cell.strip()}
    if "file" not in given:
        raise DataError(f"{where}: no file", expected="the name of a file in this folder")
    words = {key: given[key] for key in WORDS if key in given}
    if words.get("unit", "g") not in G_IN:
        raise DataError(f"{where}: unit '{words['unit']}'", expected=f"one of {', '.join(G_IN)}")
    if "origin_time" in words and moment_of(words["origin_time"]) is None:
        raise DataError(f"{where}: origin_time '{words['origin_time']}'", expected="2011-03-11T05:46:18Z, or a date")
    return given["file"], Row(where, words, {key: _number(where, key, given[key]) for key in NUMBERS if key in given})


def _number(where: str, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{where}: {key} '{text}'", expected="a number, or nothing") from None
    if key in RANGES:
        return in_range(key, value, where=where)
    if not 0.0 < value < math.inf:
        raise DataError(f"{where}: {key} is {value:g}", expected="more than 0")
    return value
