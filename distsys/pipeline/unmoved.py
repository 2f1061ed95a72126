"""Metrics that stay outside their bands by about as much in every trial: no wider search would mend them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distsys.cluster.rows import TrialRow

_FEWEST = 3
"""Trials that ran to their end, for their parameters to have differed in all that is searched."""
_MOVED = 0.2
"""Of the smallest violation: what moves by less is not what the search moves."""


def unmoved_text(rows: Sequence[TrialRow]) -> str:
    """What no searched parameter moves into its band, and what to do instead; empty where there is no such metric."""
    found = [row.violations for row in rows if row.state == "complete" and row.violations]
    if len(found) < _FEWEST:
        return ""
    told = [_told(name, [item[name] for item in found]) for name in found[0] if all(name in item for item in found)]
    lines = [line for line in told if line]
    if not lines:
        return ""
    names = ", ".join(f"constraints.{line.split()[0]}" for line in lines)
    return (
        f"nothing that is searched moves {'; '.join(lines)}: no wider search will; change the data or what is not "
        f"searched, as the verdict says, or the band ({names})"
    )


def _told(name: str, violations: Sequence[float]) -> str:
    lowest, highest = min(violations), max(violations)
    if lowest <= 0.0 or not math.isfinite(highest) or highest - lowest > _MOVED * lowest:
        return ""
    return f"{name} ({lowest:.3g} to {highest:.3g} outside its band in all {len(violations)} trials)"
