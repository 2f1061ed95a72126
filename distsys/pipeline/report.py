"""What was chosen and what it is worth beside the baselines, as text for a terminal of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from distsys.console import wrapped
from distsys.report.table import text_table
from distsys.report.verdicts import verdict_text
from distsys.training.assess import Assessment

_COLUMNS = 3
"""Metric columns of a table on a terminal."""
_TERMINAL, _NUMBER = 80, 10
"""Columns of a terminal, and those that a number takes with its gap."""


def assessment_table(found: Assessment, names: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """The model and every baseline that has one of the metrics ``names``."""
    rows: list[list[object]] = [["model", *(found.metrics[name] for name in names)]]
    for label, row in found.baselines.items():
        if any(name in row.metrics for name in names):
            rows.append([label, *(row.metrics.get(name, math.nan) for name in names)])
    return ["", *names], rows


def shared_metrics(found: Assessment) -> list[str]:
    """Metrics that the model shares with a baseline, the selection metric first."""
    shared = [name for name in found.metrics if any(name in row.metrics for row in found.baselines.values())]
    return [found.selection, *(name for name in shared if name != found.selection)]


def metric_table(found: Assessment, baselines: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """A column for each of ``baselines``; rows are the selection metric and what the model shares with them."""
    rows: list[list[object]] = []
    for name in shared_metrics(found):
        others = [found.baselines[label].metrics.get(name, math.nan) for label in baselines]
        if name == found.selection or not all(math.isnan(value) for value in others):
            rows.append([name, found.metrics[name], *others])
    return ["test set", "model", *baselines], rows


def _side_by_side(found: Assessment) -> list[list[str]]:
    """Baselines, as many at a time as stand beside the names of metrics on a terminal."""
    room = _TERMINAL - max(len(name) for name in found.metrics) - _NUMBER
    groups: list[list[str]] = []
    for label in found.baselines:
        width = sum(max(_NUMBER, len(other) + 2) for other in [*(groups[-1] if groups else []), label])
        if groups and width <= room:
            groups[-1].append(label)
        else:
            groups.append([label])
    return groups


def assessment_text(found: Assessment) -> str:
    """What ``distsys evaluate`` prints: every metric beside the baselines, then the constraints."""
    tables = [text_table(*metric_table(found, group)) for group in _side_by_side(found)]
    shared = set(shared_metrics(found)) if found.baselines else set()
    alone = [[name, value] for name, value in sorted(found.metrics.items()) if name not in shared]
    metrics = text_table(["test set, no baseline has it", "model"], alone)
    held = [
        [name, row["band"], row["value"], "yes" if row["holds"] else "NO"] for name, row in found.constraints.items()
    ]
    constraints = text_table(["constraint", "band", "value", "holds"], held)
    return "\n\n".join([*tables, metrics, constraints, *changed_lines(found), verdict_line(found)])


def changed_lines(found: Assessment) -> list[str]:
    """A warning where the sets are not those of the training."""
    if not found.changed:
        return []
    return [
        f"WARNING: other data than in training: the {' and '.join(found.changed)} set changed.\n"
        "What is tested on may have been trained on. Data were added or removed, or\nanother machine rounds otherwise."
    ]


def verdict_line(found: Assessment) -> str:
    """The model's value, its noise floor, and the baselines that beat it; or what is wrong, and what to change."""
    value = f"{found.selection} {found.value:.4g} {found.unit} (standard error {found.noise_floor:.2g})"
    if found.is_sick:
        return "\n".join(wrapped(f"SICK, not to be used; {value}\n{verdict_text(found.verdicts)}"))
    better = found.beaten_by()
    beaten = f"; beaten by: {', '.join(better)}" if better else "; better than every baseline"
    return f"healthy, {value}{beaten if found.baselines else ''}"


def final_lines(found: Assessment, report: Path, out: Path | str | None) -> Sequence[str]:
    """What ``distsys run`` ends with; ``out`` is the folder that ``distsys ui`` shows, None without tracking."""
    lines = [
        text_table(*assessment_table(found, shared_metrics(found)[:_COLUMNS])),
        "",
        verdict_line(found),
        f"checkpoint: {found.checkpoint}",
        f"report:     {report}",
    ]
    return lines if out is None else [*lines, f"compare:    distsys ui --out {out}"]
