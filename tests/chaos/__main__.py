"""Every kind of kill, counted: ``make chaos``; ``CHAOS_SHARE=0.1 make chaos`` for a tenth of the kills."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.chaos.kills import FAULTS, HEADER, prepared, tallied, unharmed


def main() -> int:
    """Print a row a fault, and what was wrong; 1 where something was."""
    share = float(os.environ.get("CHAOS_SHARE", "1"))
    is_clean = True
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        place = prepared(Path(name))
        twins = {arguments: unharmed(arguments, place=place) for arguments in {fault.arguments for fault in FAULTS}}
        print(HEADER, flush=True)
        for fault in FAULTS:
            times = max(1, round(share * fault.times))
            tally = tallied(fault, times=times, place=place, twin=twins[fault.arguments])
            print(tally.row(), *tally.told, sep="\n  ", flush=True)
            is_clean = is_clean and tally.is_clean
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
