"""The report of an experiment: what was chosen, why, and what it is worth beside other methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.domains.protocol import MetricSpec
from distsys.health.verdict import Constraint, Verdict, by_cause, is_sick
from distsys.pipeline.durations import Rates, phase_table
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.final import constraints_of
from distsys.pipeline.ranking import Handoff
from distsys.pipeline.report import changed_lines, metric_table, shared_metrics
from distsys.pipeline.report_search import search_section
from distsys.pipeline.search import SearchResult
from distsys.report.figures import beside, learning_curve, rank_change, shared_curves
from distsys.report.page import Card, Page, slug
from distsys.report.table import filled_parts, number, sensible
from distsys.report.vector import png_of
from distsys.report.verdicts import health_word
from distsys.tracking.spool import Spool, read_metrics, read_record
from distsys.training.assess import Assessment, Examined
from distsys.training.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "report.html"


def write_report(
    experiment: Experiment,
    search: SearchResult,
    handoff: Handoff,
    final: Outcome,
    examined: Examined,
    *,
    rates: Rates = Rates(),  # noqa: B008 - frozen
) -> Path:
    """Write ``report.html`` into the experiment's home, and its figures and samples into the final run too."""
    found = examined.assessment
    lead = f"Experiment {experiment.name}, seed {experiment.config.seed}"
    page = Page(experiment.domain.title, lead, _card(experiment, found))
    for line in changed_lines(found):
        page.text(line, mood="bad")
    figures, samples = dict(examined.figures()), dict(examined.samples())
    _beside_section(page, found)
    for title, figure in figures.items():
        page.figure(title, figure)
    if samples:
        page.heading("To listen to")
        page.sounds(samples)
    _training_section(page, experiment, final)
    _handoff_section(page, experiment, handoff)
    search_section(page, experiment, search)
    _origin_section(page, experiment, found, rates)
    _keep(final.folder, figures, samples)
    return page.write(experiment.home / FILE)


def _card(experiment: Experiment, found: Assessment) -> Card:
    better = "higher" if found.direction == "max" else "lower"
    error = f"\u00b1 {found.noise_floor:.2g} (standard error)"
    what = f"{found.unit} {found.selection} on the test set, {error}; {better} is better"
    value = number(found.value)
    if found.is_sick:
        lines = [
            f"{item.cause}: {item.evidence}{f'; fix: {item.fix}' if item.fix else ''}"
            for item, _ in by_cause(found.verdicts)
        ]
        return Card(False, "Sick: not to be used", value, what, lines)
    warnings = [f"Warning: {item.cause}: {item.evidence}. {item.fix}" for item, _ in by_cause(found.verdicts)]
    held = ", ".join(f"{name} {number(row['value'])} ({row['band']})" for name, row in found.constraints.items())
    lines = [*_rank_lines(found), *([f"Every constraint holds: {held}."] if held else []), *warnings]
    place = experiment.home
    shown = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
    lines.append(f"To use it: distsys predict {experiment.domain.name} --checkpoint {shown}")
    return Card(True, "Healthy", value, what, lines)


def _rank_lines(found: Assessment) -> list[str]:
    """The model among other methods; bounds are named, and are no methods."""
    spec = MetricSpec(found.selection, "max" if found.direction == "max" else "min", found.unit)
    values = {name: row.metrics.get(found.selection, math.nan) for name, row in found.baselines.items()}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    methods = {name: value for name, value in finite.items() if found.baselines[name].kind != "bound"}
    bounds = {name: value for name, value in finite.items() if name not in methods}
    lines = []
    if methods:
        best = min(methods, key=lambda name: -methods[name] if spec.direction == "max" else methods[name])
        apart = f"{abs(methods[best] - found.value):.2g} {found.unit}"
        named = f"{best}, {number(methods[best])} {found.unit}"
        if spec.better(methods[best], than=found.value):
            lines.append(f"The best other method, {named}, is better than the model by {apart}.")
        else:
            lines.append(f"Better than every other method; the next is {named}, worse by {apart}.")
    if bounds:
        told = ", ".join(f"{name} {number(value)} {found.unit}" for name, value in bounds.items())
        lines.append(f"Bounds, which know what no method is told: {told}.")
    return lines


def _beside_section(page: Page, found: Assessment) -> None:
    page.heading("Beside other methods")
    kinds = {name: row.kind for name, row in found.baselines.items()}
    rows = [("model", "model", found.value)]
    rows += [(name, kind, found.baselines[name].metrics.get(found.selection, math.nan)) for name, kind in kinds.items()]
    if len([row for row in rows if math.isfinite(row[2])]) > 1:
        label = f"{found.selection}, {found.unit}"
        page.figure(f"{found.selection} on the test set", beside(rows, error=found.noise_floor, label=label))
    names = [f"{name} (bound)" if kind == "bound" else name for name, kind in kinds.items()]
    _, cells = metric_table(found, list(kinds))
    details = [row for row in cells if "/" in str(row[0])]
    headers = ["test set", "model", *names]
    main = [row for row in cells if row not in details]
    page.file("metrics", headers, main)
    for index, (columns, part) in enumerate(filled_parts(headers, main)):
        page.table(columns, part, mark=None if index else 0, show=sensible)
    if details:
        page.table(headers, details, folded=f"{len(details)} metrics by condition", name="conditions", show=sensible)
    held = [
        [name, row["band"], row["value"], "yes" if row["holds"] else "NO"] for name, row in found.constraints.items()
    ]
    ill = [(index, 3) for index, row in enumerate(held) if row[-1] == "NO"]
    page.table(["constraint", "band", "value", "holds"], held, ill=ill, show=sensible)
    shown = set(shared_metrics(found))
    if others := [[name, value] for name, value in sorted(found.metrics.items()) if name not in shown]:
        page.table(["other metrics", "value"], others, name="other_metrics", show=sensible)


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
    page.text("Dashed: the chosen step. Shaded: where a constraint lets the metric be.", mood="small")
    _curves(page, experiment, final, shown.step)


def _curves(page: Page, experiment: Experiment, final: Outcome, chosen_step: int) -> None:
    """On the validation set: selection metric, loss and constraints; then each term, weights and gradient shares."""
    domain, lines = experiment.domain, read_metrics(final.folder)
    steps, last = [line.step for line in lines], lines[-1].metrics

    def values(name: str) -> list[float]:
        return [line.metrics[name] for line in lines]

    def points(name: str) -> list[tuple[int, float]]:
        return list(zip(steps, values(name), strict=True))

    bands: dict[str, Constraint] = {item.metric: item for item in constraints_of(final, domain)}
    units = {domain.selection.name: domain.selection.unit, "loss": ""}
    figures = {}
    for name in dict.fromkeys([domain.selection.name, "loss", *bands]):
        band = (bands[name].low, bands[name].high) if name in bands else (-math.inf, math.inf)
        label = f"{name}, {units[name]}" if units.get(name) else name
        figures[name] = learning_curve(steps, values(name), label=label, chosen_step=chosen_step, band=band)
    page.figures(figures)
    terms = {term.name: values(f"term/{term.name}") for term in domain.terms if last[term.weight_name]}
    page.figures(
        {
            f"term {name}": learning_curve(steps, found, label=name, chosen_step=chosen_step)
            for name, found in terms.items()
        }
    )
    weights = {term.weight_name: points(term.weight_name) for term in domain.terms}
    shares = {term.name: points(f"gradient_share/{term.name}") for term in domain.terms}
    page.figures(
        {
            "weights": shared_curves(weights, label="weight"),
            "gradient shares": shared_curves(shares, label="share of the gradient norm"),
        }
    )
    rows = [
        [item.name, item.unit, last[f"term/{item.name}"], last[item.weight_name], last[f"gradient_share/{item.name}"]]
        for item in domain.terms
    ]
    page.table(["term, at the end", "unit", "raw value", "weight", "gradient share"], rows, name="terms")


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
    ill = [(index, 4) for index, item in enumerate(handoff.candidates) if item.is_sick]
    headers = ["candidate", "role", f"search, {metric.unit}", f"handoff, {metric.unit}", "health"]
    page.table(headers, rows, mark=winner, ill=ill, name="handoff")
    _verdicts(page, [verdict for item in handoff.candidates for verdict in item.verdicts])
    names = [f"trial {item.trial}" for item in handoff.candidates]
    before, after = ([getattr(item, side) for item in handoff.candidates] for side in ("before", "after"))
    label = f"{metric.name}, {metric.unit}"
    page.figure("Rank before and after", rank_change(names, before, after, label=label, winner=winner))


def _verdicts(page: Page, verdicts: Sequence[Verdict]) -> None:
    """Each cause once: how often, by what evidence, and what to change."""
    if verdicts:
        rows = [[item.cause, str(count), item.evidence, item.fix] for item, count in by_cause(verdicts)]
        page.table(["cause", "times", "for example", "fix"], rows)


def _origin_section(page: Page, experiment: Experiment, found: Assessment, rates: Rates) -> None:
    page.heading("What was run")
    page.table(*phase_table(experiment, rates), name="phases", show=sensible)
    record = read_record(experiment.folder)
    tags = {
        name: record.tags[name] for name in sorted(record.tags) if name.startswith(("env.", "code.", "distsys.code"))
    }
    data = {f"data: {key}": value for key, value in found.data.items()}
    rows = [["preset", experiment.preset or "none"], ["set by hand", record.tags.get("distsys.given", "") or "nothing"]]
    rows += [["checkpoint", found.checkpoint], ["step", str(found.step)]]
    page.table(["", "of the training"], [*rows, *([key, str(value)] for key, value in data.items())])
    page.table(
        ["", "of the machine and the code"],
        [[key, value] for key, value in tags.items()],
        folded="versions and machine",
    )
    config = [[name, "" if value is None else str(value)] for name, value in sorted(record.params.items())]
    page.table(["config", "value"], config, folded=f"the whole config, {len(config)} keys", name="config")


def _keep(folder: Path, figures: Mapping[str, Figure], samples: Mapping[str, bytes]) -> None:
    """The domain's figures and samples as files, which trackers show beside the run."""
    spool = Spool(folder)
    for title, figure in figures.items():
        spool.artifact(f"figures/{slug(title)}.png").write_bytes(png_of(figure))
    for name, content in samples.items():
        spool.artifact(f"samples/{name}").write_bytes(content)
