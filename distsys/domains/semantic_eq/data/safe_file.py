"""Settings from a CSV, SAFE's or another equaliser's: read, checked row by row, never copied into the project.

Source: Stables et al., SAFE: a system for the extraction and retrieval of semantic audio descriptors, ISMIR 2014.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distsys.domains.semantic_eq.config import SHARED, DataConfig
from distsys.domains.semantic_eq.data.safe_original import COLUMNS, is_original, nameless
from distsys.domains.semantic_eq.data.settings import NAMES, Parameter, ranges_of
from distsys.errors import DataError, did_you_mean

_TEXT_COLUMNS = ("submitter", "term")
_SHOWN = 3
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Rows as people made them.

    Args:
        physical: [rows, 13] in dB, Hz and 1, in the order of ``NAMES``.
        submitter, term: one a row.
        provenance: source, counts and checksum.
    """

    physical: np.ndarray
    submitter: list[str]
    term: list[str]
    provenance: dict[str, str | int | float]


def read_safe(path: Path, data: DataConfig) -> Table:
    """The settings in ``path``, its columns and units as ``data`` says.

    Raises:
        DataError: the file is missing, has another checksum or other columns, or holds a value that is
            no number or lies outside its physical range; rows and columns are named.
    """
    content = _content(path, data.sha256)
    names = {name: data.columns.get(name, name) for name in (*_TEXT_COLUMNS, *NAMES)}
    _require_known(data.columns, names)
    rows = _rows(path, _text(path, content), names)
    _require_words(path, rows, names)
    parameters = ranges_of(data).parameters
    _require_numbers(path, rows, [names[item.name] for item in parameters])
    physical = np.array([[_number(row[names[item.name]], item, data) for item in parameters] for row in rows.values()])
    _require_range(path, physical, parameters, names, list(rows))
    provenance: dict[str, str | int | float] = {
        "source": str(path),
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(rows),
        "licence": "none stated: measure with it, do not redistribute",
    }
    submitters, terms = ([row[names[name]] for row in rows.values()] for name in _TEXT_COLUMNS)
    return Table(physical, submitters, [_plain(term) for term in terms], provenance)


def _require_known(given: Mapping[str, str], names: Mapping[str, str]) -> None:
    for name in given:
        if name not in names:
            raise DataError(
                f"data.columns names '{name}'", expected=f"some of {', '.join(names)}", fix=did_you_mean(name, names)
            )


def _rows(path: Path, text: str, wanted: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """A row a setting, by column, under the number of its row in the file; a quoted term may hold a line break."""
    separator, original = _separator(text), is_original(text)
    header = COLUMNS if original else None
    reader = csv.DictReader(io.StringIO(text, newline=""), header, strict=True, delimiter=separator)
    try:
        rows = dict(enumerate(reader, start=1 if original else 2))
    except csv.Error as error:
        last = text.count("\n", 0, text.rfind('"')) + 1
        raise DataError(
            f"{path}: line {reader.line_num} is no line of a CSV: {error}; the last quote stands on line {last}",
            expected="quotes in pairs",
            fix="close the quote, or take it out",
        ) from error
    names = list(reader.fieldnames or [])
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"{path}: the column {', '.join(twice)} stands twice", expected="each once", fix="take one of the two out"
        )
    _require_columns(path, rows, wanted)
    if separator == ";":  # where a comma is the decimal sign
        for row in rows.values():
            row |= {wanted[name]: (row[wanted[name]] or "").replace(",", ".") for name in NAMES}
    if original:
        for row in rows.values():
            row["submitter"] = nameless(row["submitter"] or "")
    return rows


def _separator(text: str) -> str:
    """Of the header's cells: spreadsheets write semicolons where a comma is the decimal sign, and some tabs."""
    header = text.partition("\n")[0]
    return max((",", ";", "\t"), key=header.count)


def _require_numbers(path: Path, rows: Mapping[int, Mapping[str, str]], columns: list[str]) -> None:
    """Cells are numbers alone: their unit is the column's."""
    bad = [
        (line, column, row[column])
        for line, row in rows.items()
        for column in columns
        if (row[column] or "").strip() and not _NUMBER.fullmatch(row[column].strip())
    ]
    if bad:
        named = ", ".join(f"line {line}, {column}: '{cell[:20]}'" for line, column, cell in bad[:_SHOWN])
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise DataError(f"{path}: cells that are no number ({named}{more})", expected="numbers without a unit")


def _require_words(path: Path, rows: Mapping[int, Mapping[str, str]], names: Mapping[str, str]) -> None:
    """Every row has somebody and a word."""
    for name in (names[own] for own in _TEXT_COLUMNS):
        empty = [number for number, row in rows.items() if not (row[name] or "").strip()]
        if empty:
            named = ", ".join(map(str, empty[:_SHOWN])) + (f" and {len(empty) - _SHOWN} more" if empty[_SHOWN:] else "")
            raise DataError(
                f"{path}: no {name} in rows {named}", expected="one in each", fix="fill in or delete these rows"
            )


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: line {line} holds the byte 0x{content[error.start]:02x}, which is not UTF-8",
            expected="a CSV in UTF-8",
            fix="save it as UTF-8",
        ) from error


def _plain(term: str) -> str:
    return " ".join(term.lower().split())


def _content(path: Path, sha256: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"data.path = {path}: cannot be read ({error.strerror})",
            expected="a CSV of equaliser settings",
            fix="give its path, or leave data.path out for synthetic settings",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise DataError(
            f"{path}: sha256 is {found}",
            expected=f"data.sha256 = {sha256}",
            fix="use the file that was meant, or change data.sha256",
        )
    return content


def _require_columns(path: Path, rows: Mapping[int, Mapping[str, str]], names: Mapping[str, str]) -> None:
    if not rows:
        raise DataError(f"{path}: holds no rows", expected="a header and at least one setting")
    first_row = next(iter(rows.values()))
    missing = {name: column for name, column in names.items() if column not in first_row}
    if not missing:
        return
    first, column = next(iter(missing.items()))
    near = did_you_mean(column, [name for name in first_row if name])
    more = " and others" if len(missing) > _SHOWN else ""
    raise DataError(
        f"{path}: no column {', '.join([*missing.values()][:_SHOWN])}{more}",
        expected=f"the columns {', '.join(names.values())}",
        fix=f"{near} data.columns says what a file calls them: --set 'data.columns={{{first}: ITS NAME}}'",
    )


def _number(text: str | None, item: Parameter, data: DataConfig) -> float:
    """In dB, Hz and 1; NaN where it is no number."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    if item.kind == "freq" and data.frequencies_in == "kHz":
        return 1000.0 * value
    if item.kind == "q" and data.q_in == "octaves":
        return q_of_octaves(value)
    return value


def q_of_octaves(octaves: float) -> float:
    """Q of a bell whose half-gain points are so far apart (RBJ Audio EQ Cookbook, the analogue form); NaN at 0."""
    return 0.5 / math.sinh(0.5 * math.log(2.0) * octaves) if 0.0 < octaves < 100.0 else math.nan


def _require_range(
    path: Path,
    physical: np.ndarray,
    parameters: Sequence[Parameter],
    names: Mapping[str, str],
    lines: Sequence[int],
) -> None:
    """Every problem's column and its first rows, counted as an editor shows them."""
    problems: list[str] = []
    reached: dict[str, tuple[float, float]] = {}
    for index, item in enumerate(parameters):
        column = physical[:, index]
        slack = 1e-6 * (item.high - item.low)
        with np.errstate(invalid="ignore"):
            bad = ~((column >= item.low - slack) & (column <= item.high + slack))
        if bad.any():
            rows = np.flatnonzero(bad)
            named = ", ".join(f"line {lines[row]}: {column[row]:g}" for row in rows[:_SHOWN])
            more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
            problems.append(f"{names[item.name]} ({named}{more}), bounds {item.low:g} to {item.high:g} {item.unit}")
            if np.isfinite(column).all():
                shared = SHARED.get(item.kind, item.name)
                low, high = reached.get(shared, (item.low, item.high))
                reached[shared] = min(low, float(column.min())), max(high, float(column.max()))
    if problems:
        wider = ", ".join(f"{name}: [{low:g}, {high:g}]" for name, (low, high) in reached.items())
        other = f"; of another equaliser than SAFE's say its bounds, such as data.bounds: {{{wider}}}"
        raise DataError(
            f"{path}: values that are no number or out of range in {len(problems)} columns:\n  "
            + "\n  ".join(problems),
            expected="finite numbers within their bounds",
            fix=f"mend or delete these lines{other if reached else ''}",
        )
