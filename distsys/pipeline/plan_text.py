"""A plan as a person reads it: twenty lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from distsys.cluster.nodes import Node
from distsys.console import wrapped
from distsys.pipeline.plan import Plan
from distsys.report.table import text_table
from distsys.training.timing import Span

_INDENT = " " * 13


def plan_text(plan: Plan, spent: Mapping[str, float]) -> str:
    """Lines of 80 columns.

    Args:
        spent: what the rates make of its time.
    """
    rows = [[item.name, _runs(item.runs, item.steps), *_columns(item.seconds)] for item in plan.phases]
    table = text_table(["phase", "runs", "time", "from", "to"], [*rows, ["whole", "", *_columns(plan.whole)]])
    search, final = plan.paces["search"], plan.paces["final"]
    steps = f"{_ms(search.plain)} in the search, {_ms(final.plain)} in the final training"
    checks = f"validation {duration(search.validation_s)}, {duration(final.validation_s)}; on {plan.timed_on}"
    found = {
        "at a time": f"{_count(plan.capacity.together, 'trial')}; final training: {_count(plan.num_workers, 'worker')}",
        "a step": f"{steps}; {checks}",
        **{name: f"{value:.3g}{' kWh' if name == 'energy' else ''}" for name, value in spent.items()},
        "disk": f"{size(plan.disk_bytes)}: {_count(plan.num_checkpoints, 'checkpoint')} of "
        f"{size(plan.checkpoint_bytes)} at most, of which {size(plan.free_bytes)} are free",
        "memory": f"{size(plan.data_bytes)} of data",
        "folder": f"{plan.folder}{' (is there: what is done in it is not done again)' if plan.is_known else ''}",
        "tracking": plan.tracking or "none",
        "where": "; ".join(_place(plan, node) for node in plan.capacity.nodes),
    }
    lines = [part for name, text in found.items() for part in wrapped(f"{name:<12} {text}", indent=_INDENT)]
    return "\n".join([table, "", *lines, *_warnings(plan)])


def _warnings(plan: Plan) -> list[str]:
    found = []
    if plan.disk_bytes > plan.free_bytes:
        found.append("WARNING: the disk is too small: free space, or choose another --out")
    if plan.capacity.gpus_per_trial and plan.timed_on == "cpu":
        found.append("WARNING: steps were timed on the CPU of this machine, and will run on GPUs of others")
    return found


def _place(plan: Plan, node: Node) -> str:
    capacity = plan.capacity
    gpus = f", {_count(node.gpus, 'GPU')}" if node.gpus else ""
    parts = [f"up to {_count(capacity.on(node), 'trial')} at a time"]
    if node.is_driver:
        parts.insert(0, "the driver" + (" and the final training" if plan.num_workers == 1 else ""))
    if plan.num_workers > 1:
        parts.append("workers")
    return f"{node.name} ({_count(node.cpus, 'CPU')}{gpus}): {', '.join(parts)}"


def plan_content(plan: Plan, spent: Mapping[str, float]) -> dict[str, Any]:
    """Plain values, times in seconds."""
    content = asdict(replace(plan, paces={}))
    paces = {name: pace.content() for name, pace in plan.paces.items()}
    return {**content, "paces": paces, "whole": asdict(plan.whole), **spent}


def _runs(runs: int, steps: int) -> str:
    return f"{runs} x {steps} steps" if runs else ""


def _columns(span: Span) -> list[str]:
    return [duration(value) for value in (span.mid, span.low, span.high)]


def _ms(span: Span) -> str:
    return f"{span.mid * 1000:.3g} ms ({span.low * 1000:.3g} to {span.high * 1000:.3g})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Two digits in the unit that reads best."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, divisor, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            value = seconds / divisor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def size(num_bytes: int) -> str:
    """Bytes in the unit that reads best."""
    value, units = float(num_bytes), ["B", "KB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"
