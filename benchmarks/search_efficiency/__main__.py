"""``python -m benchmarks.search_efficiency`` replays; with ``--record 32`` it records first what is lacking, for hours.

Everything is counted in training steps of the same batch, in units of a whole trial of the search. Validations are not
counted, and neither is the final training, which all have in common.
"""

from __future__ import annotations

import argparse

from benchmarks.search_efficiency.curves import DOMAINS, Entry, read_pool
from benchmarks.search_efficiency.record import record
from benchmarks.search_efficiency.searchers import Pool
from benchmarks.search_efficiency.tables import (
    compute_to_reach,
    correlations,
    phases,
    regrets,
    space_of,
    summary,
    traces,
)
from distsys.report.table import text_table

_REGRET_AT = (1, 2, 4, 8, 16)
_PHASES_AT = (6, 9, 12, 16)
_SHORT = {
    "ground_motion": "motion",
    "ris_localization": "ris",
    "semantic_eq": "eq",
    "speaker_extraction": "speech",
}


def main() -> None:
    """Record, replay, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=int, default=0, metavar="N", help="configurations a domain")
    parser.add_argument("--domain", action="append", choices=DOMAINS)
    options = parser.parse_args()
    for number in range(options.record):
        for domain in options.domain or DOMAINS:
            record(domain, [number])
    pools = {domain: read_pool(domain) for domain in options.domain or DOMAINS}
    _searchers(pools)
    _phases(pools)


def _searchers(pools: dict[str, list[Entry]]) -> None:
    reached, regret = {}, {}
    for domain, entries in pools.items():
        pool = Pool(entries, space_of(domain), "search")
        found = traces(pool)
        reached[domain] = compute_to_reach(pool, found, trials=len(entries) // 2)
        regret[domain] = regrets(pool, found, trials=_REGRET_AT)
    names = list(next(iter(reached.values())))
    rows = [[name, *(reached[domain][name] for domain in pools), summary(reached, name)] for name in names]
    half = len(next(iter(pools.values()))) // 2
    print(
        f"compute to find a trial as good as random search's best of {half}, over what that spent (median, 10 seeds)\n"
    )
    print(text_table(["", *(_SHORT[name] for name in pools), "median"], rows))
    for domain in pools:
        rows = [[name, *regret[domain][name]] for name in names]
        print(f"\n{domain}: regret of the trial by whole trials of compute; 1 is the median trial (mean, 10 seeds)\n")
        print(text_table(["", *map(str, _REGRET_AT)], rows))


def _phases(pools: dict[str, list[Entry]]) -> None:
    ranks = {
        domain: correlations(entries, Pool(entries, space_of(domain), "search")) for domain, entries in pools.items()
    }
    rows = [[name, *(ranks[domain][name] for domain in pools)] for name in next(iter(ranks.values()))]
    print("\nrank correlation (Spearman) of ends of trainings over the pool\n")
    print(text_table(["", *(_SHORT[name] for name in pools)], rows))
    for domain, entries in pools.items():
        found = phases(domain, entries, trials=_PHASES_AT)
        print(f"\n{domain}: regret of the final training by whole trials of compute; 1 is the median configuration\n")
        print(text_table(["", *map(str, _PHASES_AT)], [[name, *values] for name, values in found.items()]))


if __name__ == "__main__":
    main()
