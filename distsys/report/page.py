"""A page as one HTML file that needs nothing beside it, and its tables and figures as files that others can use."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsys.files import write_bytes, write_text
from distsys.report.table import number
from distsys.report.vector import png_of, svg_of

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure

_MOST_SOUND = 6_000_000
"""Bytes of samples that a page holds; those beyond lie beside the run alone."""
_REM_AN_INCH = 7.2
"""Width of a figure on the page, at which nine points read like the text around it."""


@dataclass(frozen=True)
class Card:
    """What a person must know first: the verdict, the value, and what that is worth."""

    is_healthy: bool
    verdict: str
    value: str
    what: str
    lines: Sequence[str]


class Page:
    """A card, and below it headings, text, tables and figures in the order they are added."""

    def __init__(self, title: str, lead: str, card: Card | None = None) -> None:
        self._title, self._lead, self._card = title, lead, card
        self._blocks: list[dict[str, Any]] = []
        self._sections: list[str] = []
        self._files: dict[str, bytes] = {}

    def heading(self, text: str) -> None:
        self._sections.append(text)
        self._blocks.append({"kind": "heading", "text": text, "number": len(self._sections)})

    def text(self, text: str, *, mood: str = "") -> None:
        """A paragraph; ``mood`` is ``good``, ``bad``, ``small`` or nothing."""
        self._blocks.append({"kind": "text", "text": text, "mood": mood})

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        mark: int | None = None,
        folded: str = "",
        ill: Collection[tuple[int, int]] = (),
        name: str = "",
        show: Callable[[object], str] = number,
    ) -> None:
        """A table whose row ``mark`` stands out; with ``folded`` it opens at a click on that line.

        Args:
            ill: cells (row, column) that say what is wrong.
            name: of the CSV file with it; none without.
            show: how a cell is written here; the file has all digits.
        """
        is_text = [any(not _is_number(row[column]) for row in rows) for column in range(len(headers))]
        shown = [[show(cell) for cell in row] for row in rows]
        self._blocks.append(
            {
                "kind": "table", "headers": headers, "rows": shown, "mark": mark, "folded": folded, "ill": set(ill),
                "is_text": is_text,
            }
        )  # fmt: skip
        if name:
            self.file(name, headers, rows)

    def file(self, name: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table that is written beside the page alone, as the CSV file ``name``."""
        self._files[f"{name}.csv"] = _csv_of(headers, rows)

    def figure(self, title: str, figure: Figure) -> None:
        """A figure of its own width."""
        self._blocks.append({"kind": "figure", **self._drawn(title, figure)})

    def figures(self, figures: Mapping[str, Figure]) -> None:
        """Small figures side by side where there is room, by their titles."""
        self._blocks.append(
            {"kind": "figures", "parts": [self._drawn(title, figure) for title, figure in figures.items()]}
        )

    def sounds(self, samples: Mapping[str, bytes]) -> None:
        """What of ``samples`` (names of files) can be heard."""
        items, size = [], 0
        for name, content in samples.items():
            size += len(content)
            if name.endswith(".wav") and size <= _MOST_SOUND:
                items.append({"name": name.removesuffix(".wav"), "content": base64.b64encode(content).decode()})
        if items:
            self._blocks.append({"kind": "sounds", "parts": items})

    def _drawn(self, title: str, figure: Figure) -> dict[str, object]:
        name = slug(title)
        png, svg = png_of(figure), svg_of(figure, name=f"{len(self._blocks)}-{name}")
        self._files[f"{name}.png"] = png
        width_rem = round(figure.get_figwidth() * _REM_AN_INCH, 1)
        return {"title": title, "svg": svg, "png": None if svg else base64.b64encode(png).decode(), "rem": width_rem}

    def write(self, path: Path) -> Path:
        """Put the page into ``path``, whole or not at all, and its tables and figures into a folder beside it."""
        style = path_of("style.css").read_text(encoding="utf-8")
        document = _template().render(
            title=self._title,
            lead=self._lead,
            card=self._card,
            sections=self._sections,
            blocks=self._blocks,
            style=style,
        )
        folder = path.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files.items():
            write_bytes(folder / name, content)
        write_text(path, document)
        return path


def slug(title: str) -> str:
    """``title`` as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def path_of(name: str) -> Path:
    """A file that pages are made of."""
    return Path(__file__).parent / "templates" / name


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(path_of("report.html.j2").read_text(encoding="utf-8"))


def _is_number(cell: object) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _csv_of(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """With all digits that there are."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows([headers, *rows])
    return buffer.getvalue().encode()
