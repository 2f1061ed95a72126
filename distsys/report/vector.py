"""Figures as SVG that takes the colours of the page around it, with words that show where the pointer rests."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

BLUE, RED, GREEN, ORANGE, GREY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#8a939f"
"""Told apart by people of any colour vision (Okabe and Ito 2008); whatever they tell, a marker or a dash tells too."""
_THEME = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    BLUE: "var(--blue)",
    RED: "var(--red)",
    GREEN: "var(--green)",
    ORANGE: "var(--orange)",
    GREY: "var(--grey)",
    "#b0b0b0": "var(--line)",
}
_LARGEST = 400_000
"""Characters of an SVG; a figure that takes more, as fields of pixels do, stays a picture."""
_TIP = "tip:"


def tip(artist: Artist, text: str) -> None:
    """Have ``text`` shown where the pointer rests on ``artist``."""
    artist.set_gid(f"{_TIP}{text}")


def svg_of(figure: Figure, *, name: str) -> str | None:
    """``figure`` as an ``<svg>`` element without a size of its own, or None where it is too large for one.

    Args:
        name: sets its identifiers apart from those of other figures of the page.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    if len(text) > _LARGEST:
        return None
    text = text[text.index("<svg") :]
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "sans-serif", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(rf'<g id="{_TIP}([^"]*)">', lambda found: f"<g><title>{found[1]}</title>", text)
    return re.sub("|".join(_THEME), lambda found: _THEME[found[0]], text)


def png_of(figure: Figure) -> bytes:
    """``figure`` as a PNG, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()
