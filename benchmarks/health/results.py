"""Tables and sums of the benchmark's rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.health.case import SHIPPED, Row
from distsys.files import write_json
from distsys.health.causes import TRIVIAL
from distsys.report.table import text_table


def line(row: Row) -> str:
    """What came of one case, in a line."""
    first = row.verdicts[0] if row.verdicts else None
    found = f"{first['status']} {first['cause']} at {first['step']}: {str(first['evidence'])[:90]}" if first else "-"
    mark = ("ok" if row.is_named_first else "named" if row.is_named else "MISSED") if row.names else ""
    error = f" [{row.error}]" if row.error else ""
    return f"{row.domain} {row.seed} {row.phase} {row.label} {mark} {row.seconds:.0f} s: {found}{error}"


def write(path: Path, rows: Sequence[Row], costs: Mapping[str, float]) -> None:
    """Sums, what the checks cost by domain, and rows as JSON."""
    found = sums(rows)
    for name, cost in costs.items():
        found["domains"].setdefault(name, {})["cost_percent"] = cost
    whole = {"cost_percent": max(costs.values())} if costs else {}
    write_json(path, {**found, **whole, "rows": [asdict(row) for row in rows]})


def read(path: Path) -> list[Row]:
    """The rows that :func:`write` gave."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]


def sums(rows: Sequence[Row]) -> dict[str, Any]:
    """Of all domains, and by domain."""
    domains = sorted({row.domain for row in rows})
    return {**_sums(rows), "domains": {name: _sums([row for row in rows if row.domain == name]) for name in domains}}


def _sums(rows: Sequence[Row]) -> dict[str, float | int]:
    injected = [row for row in rows if row.names]
    healthy = [row for row in rows if not row.names and not row.error]
    stops, warns = (sum(_has_false(row, status) for row in healthy) for status in ("stop", "warn"))
    found: dict[str, float | int] = {"injected": len(injected), "healthy": len(healthy), "false_stop": stops}
    found["not_run"] = sum(bool(row.error) for row in rows)
    if injected:
        found |= {
            "recall": sum(row.is_named for row in injected) / len(injected),
            "cause_first": sum(row.is_named_first for row in injected) / len(injected),
            "crowned": sum(row.is_crowned for row in injected),
        }
    if healthy:
        found["false_warn_per_1000"] = 1000 * warns / len(healthy)
        finals = [row for row in healthy if row.phase == "final" and row.label == SHIPPED]
        found |= {"finals": len(finals), "finals_refused_by_metric": sum(not row.is_crowned for row in finals)}
    return found


def false_alarms(row: Row, status: str) -> list[Mapping[str, object]]:
    """What doctor and checks said of a healthy case; a metric outside its band is judged by the metric."""
    return [
        item
        for item in row.verdicts
        if item["status"] == status
        and not str(item["cause"]).endswith(("outside its band", "doubtful"))
        and item["cause"] != TRIVIAL.name
    ]


def _has_false(row: Row, status: str) -> bool:
    return bool(false_alarms(row, status))


def show(rows: Sequence[Row], costs: Mapping[str, float]) -> None:
    """A table of defects, what was missed, false alarms, and the sums."""
    injected = [row for row in rows if row.names]
    if injected:
        print(text_table(["defect", "injected", "named", "first", "latest step", "crowned"], _by_defect(injected)))
    for row in injected:
        if not row.is_named_first:
            print(f"{'named later' if row.is_named else 'missed'}: {line(row)}")
    for row in rows:
        if not row.names:
            _show_healthy(row)
    for name, found in [("all", _sums(rows)), *sums(rows)["domains"].items()]:
        print(name, ", ".join(f"{key} {value:.3g}" for key, value in found.items()))
    for name, cost in costs.items():
        print(f"{name}: checks cost {cost:.1f} % of a run")


def _show_healthy(row: Row) -> None:
    if row.error:
        print(f"not run: {line(row)}")
    if not row.is_crowned and row.label == SHIPPED and row.phase == "final":
        print(f"refused by a metric: {line(row)}")
    for status in ("stop", "warn"):
        for item in false_alarms(row, status):
            print(f"false {status}: {row.domain} seed {row.seed} {row.phase} '{row.label}': {item}")


def _by_defect(rows: Sequence[Row]) -> list[list[object]]:
    found = []
    for defect in sorted({row.label.split()[0] for row in rows}, key=lambda name: int(name[1:])):
        mine = [row for row in rows if row.label.split()[0] == defect]
        named = [row.step for row in mine if row.step is not None]
        first = sum(row.is_named_first for row in mine)
        crowned = sum(row.is_crowned for row in mine)
        found.append([defect, len(mine), len(named), first, max(named, default=0), crowned])
    return found
