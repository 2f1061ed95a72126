"""A report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.files import write_text
from distsys.report.table import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONG = 40
"""Characters from which on a cell is a sentence."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2330; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { margin-top: 2.2rem; font-size: 1.2rem; }
p.lead { color: #4a5568; margin-top: 0; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e2e8f0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td { white-space: nowrap; } td.long { white-space: normal; }
th { color: #4a5568; font-weight: 600; }
tr.mark td { background: #eef6ee; font-weight: 600; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
.bad { color: #b00020; } .good { color: #1b7a3d; }
summary { cursor: pointer; color: #2b6cb0; }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto; }
"""


class Page:
    """Headings, text, tables and figures, in the order they are added."""

    def __init__(self, title: str, lead: str) -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{html.escape(lead)}</p>']

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, *, mood: str = "") -> None:
        """A paragraph; ``mood`` is ``good``, ``bad`` or nothing."""
        self._parts.append(f'<p class="{mood}">{html.escape(text)}</p>')

    def code(self, text: str) -> None:
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        mark: int | None = None,
        folded: str = "",
    ) -> None:
        """A table whose row ``mark`` stands out; with ``folded`` it opens at a click on that line."""
        head = "".join(f"<th>{html.escape(text)}</th>" for text in headers)
        body = "".join(
            f'<tr class="{"mark" if index == mark else ""}">' + "".join(_cell(number(cell)) for cell in row) + "</tr>"
            for index, row in enumerate(rows)
        )
        table = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        summary = f"<summary>{html.escape(folded)}</summary>"
        self._parts.append(f"<details>{summary}{table}</details>" if folded else table)

    def figure(self, title: str, figure: Figure) -> None:
        """A figure, embedded."""
        content = base64.b64encode(png_of(figure)).decode()
        self._parts.append(
            f'<h3>{html.escape(title)}</h3><img alt="{html.escape(title)}" src="data:image/png;base64,{content}">'
        )

    def write(self, path: Path) -> Path:
        """Put the page into ``path``, whole or not at all."""
        document = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f"<title>{html.escape(self._title)}</title><style>{_STYLE}</style></head><body>"
            + "\n".join(self._parts)
            + "</body></html>"
        )
        write_text(path, document)
        return path


def _cell(text: str) -> str:
    """A number stays on one line, a sentence may wrap."""
    return f"<td{' class=long' if len(text) > _LONG else ''}>{html.escape(text)}</td>"


def png_of(figure: Figure) -> bytes:
    """``figure`` as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()
