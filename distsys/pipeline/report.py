"""The report of an experiment: what was chosen, why, and what it is worth beside the baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.console import wrapped
from distsys.health.verdict import Verdict, by_cause, is_sick
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.final import constraints_of
from distsys.pipeline.ranking import Handoff
from distsys.pipeline.search import SearchResult
from distsys.report.figures import learning_curves, rank_change, searched_values
from distsys.report.page import Page, png_of
from distsys.report.table import text_table
from distsys.report.verdicts import health_word, verdict_text
from distsys.tracking.spool import Spool, read_metrics
from distsys.training.assess import Assessment, Examined
from distsys.training.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def write_report(
    experiment: Experiment, search: SearchResult, handoff: Handoff, final: Outcome, examined: Examined
) -> Path:
    """Write ``report.html`` into the experiment's home and its figures into the final run."""
    found = examined.assessment
    page = Page(f"{experiment.domain.title}", f"experiment {experiment.name}, seed {experiment.config.seed}")
    for line in verdict_line(found).splitlines():
        page.text(line, mood="bad" if found.is_sick else "good")
    for line in changed_lines(found):
        page.text(line, mood="bad")
    _final_section(page, found)
    figures = dict(examined.figures())
    for title, figure in figures.items():
        page.figure(title, figure)
    _training_section(page, experiment, final)
    _handoff_section(page, experiment, handoff)
    _search_section(page, experiment, search)
    _provenance_section(page, found)
    _keep_figures(final.folder, figures)
    for name, content in examined.samples().items():
        Spool(final.folder).artifact(f"samples/{name}").write_bytes(content)
    return page.write(experiment.home / "report.html")


def _final_section(page: Page, found: Assessment) -> None:
    page.heading("The final model beside the baselines (test set)")
    headers, rows = metric_table(found, list(found.baselines))
    details = [row for row in rows if "/" in str(row[0])]
    page.table(headers, [row for row in rows if row not in details], mark=0)
    if details:
        page.table(headers, details, folded=f"{len(details)} metrics by condition")
    page.table(
        ["constraint", "band", "value", "holds"],
        [[name, row["band"], row["value"], "yes" if row["holds"] else "NO"] for name, row in found.constraints.items()],
    )
    shown = set(shared_metrics(found))
    if others := [[name, value] for name, value in sorted(found.metrics.items()) if name not in shown]:
        page.table(["other metrics", "value"], others)


def _training_section(page: Page, experiment: Experiment, final: Outcome) -> None:
    metric = experiment.domain.selection
    best, by_loss = final.best, final.selection.by_loss
    shown = best or final.selection.nearest
    assert shown is not None and by_loss is not None, "a run that ended was validated"
    page.heading("Final training")
    what = "Chosen" if best else "Nothing is healthy; nearest to its bands"
    page.text(f"{what}: step {shown.step}, validation {metric.name} {shown.value:.4g} {metric.unit}.")
    if best is None:
        found = [(item, shown.metrics[item.metric]) for item in constraints_of(final, experiment.domain)]
        rows = [[item.metric, str(item), value, item.violation(value)] for item, value in found]
        page.table(["constraint", "band", "value", "outside by"], rows)
    for note in final.notes:
        page.text(f"{note[0].upper()}{note[1:]}.")
    _verdicts(page, [*final.ended_by, *shown.verdicts])
    page.text(
        f"The loss alone would have chosen step {by_loss.step}: {metric.name} {by_loss.value:.4g} {metric.unit}"
        f"{', which is sick:' if is_sick(by_loss.verdicts) else '.'}"
    )
    _verdicts(page, by_loss.verdicts)
    lines = read_metrics(final.folder)
    names = [metric.name, "loss", *(item.metric for item in experiment.domain.constraints)]
    terms = [
        name
        for term in experiment.domain.terms
        for name in (f"term/{term.name}", term.weight_name, f"gradient_share/{term.name}")
    ]
    curves = {name: [line.metrics[name] for line in lines] for name in dict.fromkeys(names)}
    moving = {name: [line.metrics[name] for line in lines] for name in terms}
    curves |= {name: values for name, values in moving.items() if len(set(values)) > 1}
    page.figure("Learning curves", learning_curves([line.step for line in lines], curves, best_step=shown.step))
    last = lines[-1].metrics
    page.table(
        ["term", "unit", "raw value", "weight", "gradient share"],
        [
            [
                term.name,
                term.unit,
                last[f"term/{term.name}"],
                last[term.weight_name],
                last[f"gradient_share/{term.name}"],
            ]
            for term in experiment.domain.terms
        ],
    )


def _handoff_section(page: Page, experiment: Experiment, handoff: Handoff) -> None:
    metric = experiment.domain.selection
    page.heading("Handoff: ranked again under the strong weights")
    lead = handoff.lead_text(metric.unit)
    goes_on = "Nothing goes on" if handoff.winner is None else f"Trial {handoff.winner} goes on"
    doubt = handoff.doubt(metric)
    page.text(f"{goes_on}; {lead}. Of both rankings: {handoff.agreement}.{f' Note: {doubt}.' if doubt else ''}")
    rows = [
        [f"trial {item.trial}", item.role, item.before, item.after, health_word(item.verdicts)]
        for item in handoff.candidates
    ]
    winner = next((index for index, item in enumerate(handoff.candidates) if item.trial == handoff.winner), None)
    page.table(["candidate", "role", f"search, {metric.unit}", f"handoff, {metric.unit}", "health"], rows, mark=winner)
    _verdicts(page, [verdict for item in handoff.candidates for verdict in item.verdicts])
    page.figure(
        "Rank before and after",
        rank_change(
            [f"trial {item.trial}" for item in handoff.candidates],
            [item.before for item in handoff.candidates],
            [item.after for item in handoff.candidates],
            label=f"{metric.name}, {metric.unit}",
            winner=winner,
        ),
    )


def _search_section(page: Page, experiment: Experiment, search: SearchResult) -> None:
    metric = experiment.domain.selection
    page.heading("Search")
    names = sorted({name for row in search.rows for name in row.params})
    rows = [
        [
            f"trial {row.number}",
            row.state,
            row.value,
            *(row.params.get(name) for name in names),
            health_word(row.verdicts),
        ]
        for row in search.rows
    ]
    page.table(["trial", "state", f"{metric.name}, {metric.unit}", *names, "health"], rows)
    _verdicts(page, search.verdicts)
    complete = [row for row in search.rows if row.state == "complete"]
    if names and complete:
        params = {name: [row.params[name] for row in complete] for name in names}
        values = [row.value for row in complete]
        page.figure(
            "Searched parameters",
            searched_values(params, values, label=metric.name, sick=[row.is_sick for row in complete]),
        )


def _verdicts(page: Page, verdicts: Sequence[Verdict]) -> None:
    """Each cause once: how often, by what evidence, and what to change."""
    if verdicts:
        rows = [[item.cause, str(count), item.evidence, item.fix] for item, count in by_cause(verdicts)]
        page.table(["cause", "times", "for example", "fix"], rows)


def _provenance_section(page: Page, found: Assessment) -> None:
    page.heading("Where it comes from")
    page.table(
        ["", ""],
        [["checkpoint", found.checkpoint], ["step", found.step], *([key, value] for key, value in found.data.items())],
    )


def _keep_figures(folder: Path, figures: Mapping[str, Figure]) -> None:
    """The same figures as files, which trackers show beside the run."""
    spool = Spool(folder)
    for title, figure in figures.items():
        spool.artifact(f"figures/{title.lower().replace(' ', '_')}.png").write_bytes(png_of(figure))


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
