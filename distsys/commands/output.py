"""A result as a person or a program reads it."""

from __future__ import annotations

import json
from typing import Any


def show(options: Any, plain: Any, text: str) -> None:
    """Print ``plain`` values for ``--json``, ``text`` otherwise."""
    print(json.dumps(plain, indent=1, default=str) if options.json else text)
