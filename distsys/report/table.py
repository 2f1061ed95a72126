"""Text tables that fit a terminal of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

_WIDTH = 80
_TINY = 1e-4


def number(value: object) -> str:
    """Four significant digits, a dash for what is absent or not a number."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def sensible(value: object) -> str:
    """The same for readers of results: what is next to nothing is said to be, without its digits."""
    is_tiny = isinstance(value, float) and 0.0 < abs(value) < _TINY
    return "\u2248 0" if is_tiny else number(value)


def filled_parts(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, kept: int = 2, most: int = 9
) -> list[tuple[list[str], list[list[object]]]]:
    """A table as several without columns that are empty, so that each can be read without moving it.

    Args:
        kept: columns that every part begins with.
        most: columns of a part.

    Returns:
        headers and rows of each part; a row stands in the first part that has all columns that it fills.
    """
    groups: list[tuple[list[int], list[Sequence[object]]]] = []
    for row in rows:
        filled = [column for column in range(kept, len(headers)) if not _is_empty(row[column])]
        known = next((part for columns, part in groups if set(filled) <= set(columns)), None)
        if known is None:
            groups.append((filled, [row]))
        else:
            known.append(row)
    parts = []
    for columns, part in groups:
        for begin in range(0, max(1, len(columns)), most - kept):
            shown = [*range(kept), *columns[begin : begin + most - kept]]
            parts.append(([headers[column] for column in shown], [[row[column] for column in shown] for row in part]))
    return parts


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def text_table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, width: int = _WIDTH) -> str:
    """Left-aligned first column, right-aligned others; a first column that is too long is cut."""
    cells = [[number(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headers), *cells]) for column in range(len(headers))]
    spare = width - sum(widths) - 2 * (len(widths) - 1)
    widths[0] = max(8, widths[0] + min(0, spare))
    lines = [_line(headers, widths), "  ".join("-" * size for size in widths)]
    return "\n".join([*lines, *(_line(row, widths) for row in cells)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0] if len(cells[0]) <= widths[0] else cells[0][: widths[0] - 3] + "..."
    rest = [cell.rjust(size) for cell, size in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *rest]).rstrip()
