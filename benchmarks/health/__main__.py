"""Recall, named cause, steps to detection and false alarms: ``python -m benchmarks.health --json FILE``."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: cases run side by side, each on one core

from benchmarks.health import healthy, results
from benchmarks.health.case import DOMAINS, SHIPPED, Case, Row, examined
from benchmarks.health_cost import cost_percent

_PARTS = ("injected", "odd", "shipped", "cost", "none")


def main() -> None:
    """Run what is asked for and print one table a question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="sums, and a row a case")
    parser.add_argument("--domain", action="append", choices=DOMAINS, help="only this one; may be repeated")
    parser.add_argument("--only", metavar="TEXT", default="", help="injections and oddities whose name holds this")
    parser.add_argument("--part", action="append", choices=_PARTS, help="may be repeated")
    parser.add_argument("--seeds", type=int, default=20, help="healthy seeds a domain")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--add", action="append", type=Path, default=[], metavar="FILE", help="rows of an earlier --json"
    )
    parser.add_argument("--jobs", type=int, default=2, help="cases side by side")
    options = parser.parse_args()
    domains = options.domain or DOMAINS
    parts = options.part or ("injected", "odd", "shipped", "cost")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    cases = [case for case in _cases(parts, seeds, options.only) if case.domain in domains]
    known = {(case.domain, case.label) for case in _cases(_PARTS, range(0), "")} | {(name, SHIPPED) for name in DOMAINS}
    earlier = [row for path in options.add for row in results.read(path) if (row.domain, row.label) in known]
    rows = _latest([*earlier, *_examined(cases, options.jobs)])
    costs = {name: cost_percent(name) for name in domains} if "cost" in parts else {}
    results.show(rows, costs)
    if options.json:
        results.write(options.json, rows, costs)


def _latest(rows: Iterable[Row]) -> list[Row]:
    """One row a case, the last."""
    return list({(row.domain, row.label, row.seed, row.phase): row for row in rows}.values())


def _cases(parts: Iterable[str], seeds: range, only: str) -> Iterator[Case]:
    if "injected" in parts:
        from benchmarks.health.injections import injections

        yield from (case for case in injections() if only in case.label)
    if "odd" in parts:
        yield from (case for case in healthy.odd() if only in case.label)
    if "shipped" in parts:
        yield from healthy.shipped(seeds)


def _examined(cases: list[Case], jobs: int) -> Iterator[Row]:
    """Every case in a process of its own: what a defect patches is gone with it."""
    _WAITING[:] = cases
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, maxtasksperchild=1) as pool:
        for done, row in enumerate(pool.imap(_number, range(len(cases)), chunksize=1), start=1):
            print(f"{done}/{len(cases)} {results.line(row)}", flush=True)
            yield row


_WAITING: list[Case] = []
"""What the forked processes share; a case itself holds functions, which cannot be sent to them."""


def _number(number: int) -> Row:
    return examined(_WAITING[number])


if __name__ == "__main__":
    main()
