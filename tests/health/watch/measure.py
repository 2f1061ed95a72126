"""Recall, named cause, false alarms and cost of a watch: ``python -m tests.health.watch.measure``."""

from __future__ import annotations

import sys
import time

from distsys.health.watch import watch
from tests.health.watch import programs_more, programs_steps, programs_wild  # noqa: F401 - register their programs
from tests.health.watch.programs import PROGRAMS


def main(seeds: range, only: list[str]) -> None:
    """Print a row a program and the sums."""
    caught = named = first = buggy = stops = warns = healthy = 0
    for item in PROGRAMS:
        if only and not any(name in item.name for name in only):
            continue
        rows = []
        for seed in seeds:
            begun = time.perf_counter()
            with watch(quiet=True, strict=True) as report:
                item.loop(seed)
            names = [cause.name for cause in item.causes]
            found = [verdict.cause for verdict in report]
            if names:
                buggy += 1
                caught += bool(found)
                named += any(name in names for name in found)
                first += bool(found) and found[0] in names
            else:
                healthy += 1
                stops += any(verdict.status == "stop" for verdict in report)
                warns += any(verdict.status == "warn" for verdict in report)
            good = found[:1] == [] if not names else bool(found) and found[0] in names
            rows.append(
                ("  " if good else "!!", seed, round(time.perf_counter() - begun, 1), [str(v)[:150] for v in report])
            )
        for mark, seed, seconds, found in rows:
            print(f"{mark} {item.name:40} {seed} {seconds:5}s {found}")
    print(
        f"buggy {buggy}: caught {caught}, named {named}, first {first}; healthy {healthy}: stop {stops}, warn {warns}"
    )


if __name__ == "__main__":
    main(range(int(sys.argv[1]) if len(sys.argv) > 1 else 1), sys.argv[2:])
