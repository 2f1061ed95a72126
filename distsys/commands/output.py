"""A result as a person or a program reads it."""

from __future__ import annotations

import json
import textwrap
from typing import Any

_WIDTH = 80


def show(options: Any, plain: Any, text: str) -> None:
    """Print ``plain`` values for ``--json``, ``text`` otherwise."""
    print(json.dumps(plain, indent=1, default=str) if options.json else text)


def wrapped(text: str, *, indent: str) -> str:
    """``text`` in lines of 80 columns, ``indent`` before all but the first; words that are longer are cut."""
    lines = text.splitlines()
    parts = [textwrap.wrap(line, _WIDTH - len(indent), break_on_hyphens=False) or [""] for line in lines]
    first, *rest = [line for part in parts for line in part] or [""]
    return "\n".join([first, *(indent + line for line in rest)])
