"""The search in an experiment's report: every trial, in which order, what decided, and where in the space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from distsys.health.verdict import by_cause
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.search import SearchResult
from distsys.report.page import Page
from distsys.report.search_figures import Tried, history, importance_bars, parallel, slices
from distsys.report.verdicts import health_word

if TYPE_CHECKING:
    from distsys.cluster.rows import TrialRow


def search_section(page: Page, experiment: Experiment, search: SearchResult) -> None:
    """Table and figures; trials that were stopped early, or are sick, are among them."""
    from distsys.cluster.importance import importance

    metric, space = experiment.domain.selection, experiment.space
    page.heading("Search")
    names = [name for name in space.dimensions if all(name in row.params for row in search.rows)]
    label = f"{metric.name}, {metric.unit}"
    trials = [_tried(row, names) for row in search.rows if math.isfinite(row.value)]
    if trials:
        page.figure("Trial by trial", history(trials, label=label, is_max=metric.direction == "max"))
    shares = importance(search.rows, space, metric)
    if shares:
        page.figure("What decided, among trials that ran to their end", importance_bars(shares))
    if trials and names:
        log = {name: space.dimensions[name].log for name in names}
        page.figures(slices(trials, label=label, log=log))
        page.figure("Parameters of every trial", parallel(trials, label=label, log=log))
    rows = [
        [
            f"trial {row.number}",
            row.state,
            health_word(row.verdicts),
            row.value,
            *(row.params.get(name) for name in names),
        ]
        for row in search.rows
    ]
    ill = [(index, 2) for index, row in enumerate(search.rows) if row.is_sick]
    best = search.best
    mark = next((index for index, row in enumerate(search.rows) if best and row.number == best.number), None)
    page.table(["trial", "state", "health", label, *names], rows, mark=mark, ill=ill, name="trials")
    if search.verdicts:
        found = [[item.cause, str(count), item.evidence, item.fix] for item, count in by_cause(search.verdicts)]
        page.table(["cause", "times", "for example", "fix"], found)


def _tried(row: TrialRow, names: Sequence[str]) -> Tried:
    kind = "sick" if row.is_sick else "pruned" if row.state == "pruned" else "healthy"
    return Tried(row.number, kind, row.value, {name: row.params[name] for name in names})
