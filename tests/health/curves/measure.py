"""Recall and false alarms of the checks of curves: ``python -m tests.health.curves.measure 20``."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

from tests.health.curves import healthy, healthy_rates, sick  # noqa: F401 - register their simulations
from tests.health.curves.simulation import CASES, Case


@dataclass
class Row:
    """Counts of one simulation at one strength over all seeds."""

    name: str
    strength: float
    is_sick: bool
    named: int = 0
    others: Counter[str] = field(default_factory=Counter)


def measured(seeds: range, only: str = "") -> list[Row]:
    """A row a simulation and strength: how often its cause was named, and which other causes were."""
    return [row(item, strength, seeds) for item in CASES if only in item.name for strength in item.strengths]


def row(item: Case, strength: float, seeds: range) -> Row:
    found = Row(item.name, strength, item.cause is not None)
    for seed in seeds:
        causes = {verdict.cause for verdict in item.verdicts(seed, strength)}
        found.named += item.cause is not None and item.cause.name in causes
        found.others.update(causes - ({item.cause.name} if item.cause else set()))
    return found


def main(seeds: range, only: str = "") -> None:
    rows = measured(seeds, only)
    for item in rows:
        said = f"named {item.named:3}" if item.is_sick else " " * 9
        print(f"{item.name:36} {item.strength:3} {said}  {dict(item.others) or ''}")
    sick_rows, well = [item for item in rows if item.is_sick], [item for item in rows if not item.is_sick]
    alarms = sum(sum(item.others.values()) for item in well)
    named = sum(item.named for item in sick_rows)
    print(f"named {named} of {len(sick_rows) * len(seeds)}")
    print(f"false alarms {alarms} in {len(well) * len(seeds)} healthy runs")


if __name__ == "__main__":
    main(range(int(sys.argv[1]) if len(sys.argv) > 1 else 5), *sys.argv[2:3])
