"""Every fault, counted: ``make chaos``; ``CHAOS_SHARE=0.1 make chaos`` for a tenth of the times."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos import around, damage
from tests.chaos.kills import FAULTS, prepared, tallied, unharmed
from tests.chaos.tally import HEADER, Tally


def main() -> int:
    """Print a row a fault, and what was wrong; 1 where something was."""
    share, asked = float(os.environ.get("CHAOS_SHARE", "1")), sys.argv[1:]
    is_clean = True
    print(HEADER, flush=True)
    for name, rows in ROWS.items():
        if asked and name not in asked:
            continue
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            for tally in rows(prepared(Path(folder)), share):
                print(tally.row(), *tally.told, sep="\n  ", flush=True)
                is_clean = is_clean and tally.is_clean
    return 0 if is_clean else 1


def _kills(place: Path, share: float) -> Iterator[Tally]:
    twins = {arguments: unharmed(arguments, place=place) for arguments in {fault.arguments for fault in FAULTS}}
    for fault in FAULTS:
        times = max(1, round(share * fault.times))
        yield tallied(fault, times=times, place=place, twin=twins[fault.arguments])


ROWS = {
    "kills": _kills,
    "changes": damage.killed_before_changes,
    "checkpoints": damage.damaged_checkpoints,
    "torn": damage.torn_files,
    "tracker": around.tracker_away,
    "disk": around.full_disk,
    "drivers": around.two_drivers,
}
"""By what ``python -m tests.chaos NAME`` takes: the rows of a place, at a share of the times."""


if __name__ == "__main__":
    sys.exit(main())
