"""Curves from a table that somebody wrote: CSV or TSV, a column a metric, or a row a value."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distsys.errors import DataError
from distsys.health.curves.history import History, series_of
from distsys.health.curves.names import is_split, with_guesses

STEP_NAMES = ("step", "global_step", "trainer/global_step", "steps", "iteration", "iter", "update", "epoch", "epochs")
"""Columns that count, the first that is there counts; small letters."""
_NAME_NAMES = ("metric", "name", "key", "tag", "series", "variable")
_ABSENT = {"", "-", "na", "n/a", "none", "null"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_SPOKEN = {"\t": "tab", ";": "semicolon", ",": "comma"}
_RESUMED = 0.1
"""Share of rows that go back from which a table counts as unsorted, not as a run that was resumed."""

Points = dict[str, tuple[list[float], list[float]]]


@dataclass(frozen=True)
class Table:
    """Cells of a file below its header; rows are counted as lines of the file are, the header being 1."""

    path: Path
    headers: list[str]
    rows: list[tuple[int, list[str]]]

    def column(self, name: str) -> list[str]:
        index = self.headers.index(name)
        return [row[index] for _, row in self.rows]

    def named(self, names: Iterable[str]) -> str | None:
        """The first of ``names`` that is a column."""
        small = {header.lower(): header for header in self.headers}
        return next((small[name] for name in names if name in small), None)

    def number(self, text: str, *, line: int, column: str) -> float | None:
        """What a cell says, None where it says nothing."""
        if text.lower() in _ABSENT:
            return None
        if not _NUMBER.fullmatch(text):
            raise DataError(
                f"{self.path}: line {line}, column '{column}': '{text[:40]}' is not a number",
                expected="a number, nan, inf, or an empty cell where nothing was measured",
                fix="mend that cell, or take the column out",
            )
        return float(text)


def read_csv(path: Path) -> History:
    """The curves in ``path``, with meanings guessed from their names.

    Raises:
        DataError: it is no table of numbers over steps.
    """
    table = _table(path)
    step = table.named(STEP_NAMES)
    if step is None:
        raise DataError(
            f"{path}: no column of steps among {', '.join(table.headers)}",
            expected=f"one of {', '.join(STEP_NAMES)}",
            fix="give the column that counts steps or epochs one of these names",
        )
    if len(table.rows) < 2:
        raise DataError(
            f"{path}: {len(table.rows)} row{'' if len(table.rows) == 1 else 's'} below the header",
            expected="a row a step: curves need two or more",
        )
    steps = _steps(table, step)
    points, left_out = _points(table, step, steps)
    if not points:
        raise DataError(f"{path}: no column of numbers besides '{step}'", expected="a column a metric, or metric,value")
    notes = [*_order_notes(points), *([f"columns without numbers left out: {', '.join(left_out)}"] if left_out else [])]
    series = with_guesses(series_of(name, at, values) for name, (at, values) in points.items())
    sizes = points.get("batch_size", ([], []))[1]
    return History(path.name, series, facts={"batch_size": sizes[-1]} if sizes else {}, notes=tuple(notes))


def _table(path: Path) -> Table:
    text = _text(path)
    lines = text.splitlines()
    if not text.strip():
        raise DataError(f"{path}: is empty", expected="a header and a row a step")
    separator = max(_SPOKEN, key=lines[0].count)
    if separator not in lines[0]:
        raise DataError(f"{path}: one column, '{lines[0][:40]}'", expected="columns apart by comma, tab or semicolon")
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, strict=True)
        cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise DataError(f"{path}: {error}", expected="quotes that are closed") from error
    headers = cells[0][1]
    _require_headers(path, headers)
    rows = [(line, _fitted(path, row, len(headers), line)) for line, row in cells[1:]]
    if separator == ";":  # where a comma is the decimal sign
        rows = [(line, [re.sub(r"^([+-]?\d*),(\d)", r"\1.\2", cell) for cell in row]) for line, row in rows]
    return Table(path, headers, rows)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is no UTF-8", expected="a text file: CSV or TSV in UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", expected="a file that can be read") from error


def _require_headers(path: Path, headers: list[str]) -> None:
    numbers = [header for header in headers if _NUMBER.fullmatch(header)]
    if numbers:
        raise DataError(
            f"{path}: its first line holds numbers ({', '.join(numbers[:3])})", expected="a first line with names"
        )
    if twice := sorted({header for header in headers if headers.count(header) > 1}):
        raise DataError(f"{path}: column '{twice[0]}' is there twice", expected="a name of its own for each column")


def _fitted(path: Path, row: list[str], count: int, line: int) -> list[str]:
    """``row`` without empty cells beyond the header, and with those that are missing at its end."""
    if any(row[count:]):
        raise DataError(f"{path}: line {line} has {len(row)} cells", expected=f"{count}, as the header has")
    return [*row[:count], *[""] * (count - len(row))]


def _steps(table: Table, name: str) -> list[float]:
    found = []
    for (line, _), text in zip(table.rows, table.column(name), strict=True):
        value = table.number(text, line=line, column=name)
        if value is None or not math.isfinite(value):
            raise DataError(f"{table.path}: line {line} has no {name}: '{text}'", expected="a number in every row")
        found.append(value)
    return found


def _points(table: Table, step: str, steps: Sequence[float]) -> tuple[Points, list[str]]:
    """Steps and values by name, and the columns that hold no number."""
    name, value = table.named(_NAME_NAMES), table.named(["value"])
    if name is not None and value is not None:
        return _long(table, name, value, steps), []
    texts = [header for header in table.headers if _is_text(table.column(header))]
    split = next((header for header in texts if all(map(is_split, filter(None, table.column(header))))), None)
    points: Points = {}
    for header in table.headers:
        if header != step and header not in texts and not header.endswith(("__MIN", "__MAX")):
            _add_column(table, header, points, steps, split)
    return points, [header for header in texts if header != split]


def _add_column(table: Table, header: str, points: Points, steps: Sequence[float], split: str | None) -> None:
    """A column's points; those of each split apart, where a column names it. TensorBoard's is named by its file."""
    label = table.path.stem if header.lower() == "value" else header
    prefixes = table.column(split) if split else [""] * len(steps)
    for (line, _), at, text, prefix in zip(table.rows, steps, table.column(header), prefixes, strict=True):
        number = table.number(text, line=line, column=header)
        if number is not None:
            _add(points, f"{prefix}/{label}" if prefix else label, at, number)


def _long(table: Table, name: str, value: str, steps: Sequence[float]) -> Points:
    points: Points = {}
    for (line, _), at, label, text in zip(table.rows, steps, table.column(name), table.column(value), strict=True):
        number = table.number(text, line=line, column=value)
        if number is not None:
            _add(points, label, at, number)
    return points


def _add(points: Points, name: str, step: float, value: float) -> None:
    at, values = points.setdefault(name, ([], []))
    at.append(step)
    values.append(value)


def _is_text(cells: Sequence[str]) -> bool:
    """Whether a column holds something and never a number."""
    held = [cell for cell in cells if cell.lower() not in _ABSENT]
    return bool(held) and not any(_NUMBER.fullmatch(cell) for cell in held)


def _order_notes(points: Points) -> list[str]:
    """What was made of steps that go back, in the first curve in which they do."""
    steps = next((at for at, _ in points.values() if at != sorted(at)), [])
    back = [index for index in range(1, len(steps)) if steps[index] < steps[index - 1]]
    if not back:
        return []
    if len(back) > _RESUMED * len(steps):
        return ["rows are not in the order of their steps: sorted"]
    first = back[0]
    return [f"steps go back from {steps[first - 1]:g} to {steps[first]:g}: a resumed run, whose later rows stand"]
