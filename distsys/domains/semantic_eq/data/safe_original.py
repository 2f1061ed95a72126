"""SAFE's user data as its server gives them: 25 columns, no header, and people by their IP address.

Source: the table SAFEEqualiserUserData of semanticaudio.co.uk; Stables et al., ISMIR 2014.
"""

from __future__ import annotations

import csv
import hashlib
import io

from distsys.domains.semantic_eq.data.settings import NAMES

_BEFORE = ("setting_id", "term", "submitter", "channels_in_count", "channels_out_count")
_AFTER = ("genre", "instrument", "location", "experience", "age", "nationality", "hash")
COLUMNS = (*_BEFORE, *NAMES, *_AFTER)


def is_original(text: str) -> bool:
    """Whether the first line is a setting of that layout, and no header."""
    first = next(csv.reader(io.StringIO(text, newline="")), [])
    numbers = [*first[:1], *first[len(_BEFORE) : len(_BEFORE) + len(NAMES)]]
    return len(first) == len(COLUMNS) and all(map(_is_number, numbers))


def nameless(address: str) -> str:
    """A name for who sent from ``address``, which nobody needs to see: the same for the same, and 40 bits long."""
    return hashlib.sha256(address.strip().encode()).hexdigest()[:10] if address.strip() else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
