"""Trained models side by side: what was set otherwise, what came of it, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distsys.config.layers import leaves
from distsys.domains.protocol import MetricSpec
from distsys.domains.registry import get_domain
from distsys.errors import DamagedFile, UsageError
from distsys.files import number_or_nan, read_json
from distsys.health.verdict import Verdict, is_sick
from distsys.report.figures import shared_curves
from distsys.report.page import Page
from distsys.report.table import number, sensible, text_table
from distsys.report.verdicts import health_word
from distsys.tracking.spool import MetricsLine, read_metrics
from distsys.training.assess import ANY_METRIC
from distsys.training.evaluated import FILE as EVALUATION
from distsys.training.evaluated import Evaluated
from distsys.training.outcome import Outcome
from distsys.training.selection import paired_floor

IMPORTED = "imported"
"""The phase of runs of other software."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Side:
    """One of those compared.

    Args:
        place: as it was named.
        metrics, items: of the set ``on``; ``digest`` tells that set, empty where nothing does.
        config: dotted path to value.
    """

    place: Path
    spec: MetricSpec
    on: str
    step: int
    metrics: Mapping[str, float]
    items: Sequence[float]
    digest: str
    verdicts: Sequence[Verdict]
    config: Mapping[str, Any]
    lines: Sequence[MetricsLine]

    @property
    def value(self) -> float:
        return self.metrics[self.spec.name]

    @property
    def floor(self) -> float:
        """Standard error over its own items."""
        count = len(self.items)
        if count < 2:
            return math.nan
        mean = sum(self.items) / count
        return math.sqrt(sum((item - mean) ** 2 for item in self.items) / (count - 1) / count)


@dataclass(frozen=True)
class Difference:
    """One side's selection metric less the first one's.

    Args:
        error: standard error of it.
        is_paired: over the same items, item by item.
    """

    value: float
    error: float
    is_paired: bool
    is_better: bool

    @property
    def is_tie(self) -> bool:
        return not abs(self.value) > self.error and not math.isnan(self.error)

    def words(self, unit: str) -> str:
        """The difference, its error, and what to make of them."""
        what = "a tie" if self.is_tie else "better" if self.is_better else "worse"
        if math.isnan(self.error):
            return f"{self.value:+.3g} {unit} (error unknown: items are not): {what}, if that is no noise"
        how = "item by item" if self.is_paired else "of another set of items, so that the error is that of both"
        return f"{self.value:+.3g} {unit} (standard error {self.error:.2g}, {how}): {what}"


@dataclass(frozen=True)
class Comparison:
    """Several models of one domain; the first is what the others are held against."""

    sides: Sequence[Side]

    @property
    def letters(self) -> list[str]:
        return [_LETTERS[index] for index in range(len(self.sides))]

    def differences(self) -> list[Difference]:
        """Of each side but the first."""
        return [_difference(self.sides[0], side) for side in self.sides[1:]]

    def config_rows(self) -> list[list[object]]:
        """Keys that not all sides share; of other software's runs, those that they tell of."""
        told = [set(side.config) for side in self.sides if side.config["phase"] == IMPORTED]
        names = sorted({name for side in self.sides for name in side.config if all(name in known for known in told)})
        rows: list[list[object]] = [[name, *(_told(side.config.get(name)) for side in self.sides)] for name in names]
        return [row for row in rows if len(set(row[1:])) > 1]

    def metric_rows(self) -> list[list[object]]:
        """Metrics that all sides have, the selection metric first; parts of one left out."""
        first = self.sides[0]
        names = [name for name in first.metrics if all(name in side.metrics for side in self.sides) and "/" not in name]
        ordered = [first.spec.name, *(name for name in names if name != first.spec.name)]
        return [[name, *(side.metrics[name] for side in self.sides)] for name in ordered]

    def to_pandas(self) -> Any:
        """A row a side: its place, health, and every metric. Needs pandas."""
        import pandas as pd

        rows = [
            {"place": str(side.place), "health": health_word(side.verdicts), "step": side.step, **side.metrics}
            for side in self.sides
        ]
        return pd.DataFrame(rows)

    def content(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "metric": self.sides[0].spec.name,
            "unit": self.sides[0].spec.unit,
            "on": self.sides[0].on,
            "sides": [
                {
                    "place": str(side.place), "step": side.step, "metrics": dict(side.metrics), "error": side.floor,
                    "verdicts": [item.content() for item in side.verdicts],
                }
                for side in self.sides
            ],
            "differences": [{**vars(item), "is_tie": item.is_tie} for item in self.differences()],
            "config": {str(row[0]): row[1:] for row in self.config_rows()},
        }  # fmt: skip


def compared(places: Sequence[Path]) -> Comparison:
    """What lies in ``places``: experiments, trainings, trials or checkpoints' runs, at least two, of one domain.

    All of them on the test set where each was evaluated, else on the validation set.

    Raises:
        UsageError: there is nothing to compare, or it cannot be.
    """
    if not 2 <= len(places) <= len(_LETTERS):
        raise UsageError(f"{len(places)} to compare", expected=f"2 to {len(_LETTERS)}")
    outcomes = [_outcome(place) for place in places]
    domains = sorted({str(found.spec["config"]["domain"]) for found in outcomes})
    if len(domains) > 1:
        raise UsageError(f"models of {' and '.join(domains)}", expected="models of one domain, which share a metric")
    spec = get_domain(domains[0]).selection
    evaluations = [_evaluation(place, found) for place, found in zip(places, outcomes, strict=True)]
    if all(evaluations):
        sides = [
            _tested(place, found, evaluation or {}, spec)
            for place, found, evaluation in zip(places, outcomes, evaluations, strict=True)
        ]
    else:
        sides = [_validated(place, found, spec) for place, found in zip(places, outcomes, strict=True)]
    return Comparison(sides)


def _outcome(place: Path) -> Outcome:
    folder = place.parents[1] if (place / "manifest.json").is_file() else place
    known = Evaluated.read(folder)
    if known is not None and not (folder / "outcome.json").is_file():
        folder = folder / known.run.parent.name / known.run.name
    found = Outcome.read(folder, ANY_METRIC)
    if found is None or found.choice is None:
        raise UsageError(
            f"{place}: nothing that ended and can be compared",
            expected="an experiment, a training or a trial that has ended",
            fix="'distsys list' shows how far experiments are",
        )
    return found


def _evaluation(place: Path, outcome: Outcome) -> dict[str, Any] | None:
    """What an evaluation said of the run's choice, where it has the items too."""
    for folder in (place, *outcome.folder.parents[:2]):
        if (folder / EVALUATION).is_file():
            content = read_json(folder / EVALUATION, dict, fix="repeat the command that made it")
            is_same = Path(content["checkpoint"]).parts[-3] == outcome.folder.name
            return content if is_same and content.get("items") else None
    return None


def _tested(place: Path, outcome: Outcome, content: Mapping[str, Any], spec: MetricSpec) -> Side:
    metrics = {name: number_or_nan(value) for name, value in content["metrics"].items()}
    items = [number_or_nan(value) for value in content["items"]]
    verdicts, digest = Verdict.read_all(content["verdicts"]), str(content["data"].get("test_digest", ""))
    return Side(
        place, spec, "test set", content["step"], metrics, items, digest, verdicts, _config(outcome), _lines(outcome)
    )


def _validated(place: Path, outcome: Outcome, spec: MetricSpec) -> Side:
    choice = outcome.choice
    assert choice is not None, "asked before"
    return Side(
        place, spec, "validation set", choice.step, choice.metrics, choice.items, "", outcome.verdicts,
        _config(outcome), _lines(outcome),
    )  # fmt: skip


def _config(outcome: Outcome) -> dict[str, Any]:
    return {"phase": outcome.spec["phase"], **dict(leaves(outcome.spec["config"]))}


def _lines(outcome: Outcome) -> list[MetricsLine]:
    try:
        return read_metrics(outcome.folder)
    except DamagedFile:
        return []


def _difference(first: Side, other: Side) -> Difference:
    is_paired = len(first.items) == len(other.items) > 1 and first.digest == other.digest
    error = paired_floor(other.items, first.items) if is_paired else math.hypot(first.floor, other.floor)
    value = other.value - first.value
    return Difference(value, error, is_paired, first.spec.better(other.value, than=first.value))


def _told(value: object) -> str:
    return "-" if value is None else number(value)


def comparison_text(found: Comparison, *, width: int = 80) -> str:
    """For a terminal: who is who, the metric and what to make of it, and what was set otherwise."""
    first, letters = found.sides[0], found.letters
    names = [f"{letter}  {side.place}" for letter, side in zip(letters, found.sides, strict=True)]
    unit = f" {first.spec.unit}" if first.spec.unit else ""
    values = [
        f"{letter}  {first.spec.name} {side.value:.4g}{unit}, {health_word(side.verdicts)}, step {side.step}"
        for letter, side in zip(letters, found.sides, strict=True)
    ]
    differences = [
        f"{letter} - A  {item.words(first.spec.unit)}"
        for letter, item in zip(letters[1:], found.differences(), strict=True)
    ]
    parts = ["\n".join(names), f"on the {first.on}:", "\n".join(values), "\n".join(differences)]
    if config := found.config_rows():
        parts.append(
            text_table(["set otherwise", *letters], [[_short(cell) for cell in row] for row in config], width=width)
        )
    else:
        parts.append("nothing was set otherwise")
    parts.append(text_table([f"metric, {first.on}", *letters], found.metric_rows(), width=width))
    return "\n\n".join(parts)


def _short(cell: object) -> str:
    text = str(cell)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-18:]}"


def write_comparison(found: Comparison, path: Path) -> Path:
    """The same as a page, with the curves of all on shared axes."""
    first, letters = found.sides[0], found.letters
    page = Page("Comparison", f"{first.spec.name} on the {first.on}; differences are to A")
    rows = [
        [letter, str(side.place), health_word(side.verdicts), side.value, side.floor, words]
        for letter, side, words in zip(
            letters, found.sides, ["", *(item.words(first.spec.unit) for item in found.differences())], strict=True
        )
    ]
    ill = [(index, 2) for index, side in enumerate(found.sides) if is_sick(side.verdicts)]
    page.heading("Who is better")
    page.table(["", "place", "health", first.spec.name, "standard error", "beside A"], rows, ill=ill, name="sides")
    if config := found.config_rows():
        page.heading("What was set otherwise")
        page.table(["key", *letters], config, name="config")
    page.heading("Curves on the validation set")
    page.figures(_curves(found))
    page.heading("Metrics")
    page.table([f"metric, {first.on}", *letters], found.metric_rows(), name="metrics", show=sensible)
    return page.write(path)


def _curves(found: Comparison) -> dict[str, Any]:
    """Quantities that all sides logged at validations, against the share of their steps."""
    bands = [item.metric for item in get_domain(str(found.sides[0].config["domain"])).constraints]
    figures = {}
    for name in dict.fromkeys([found.sides[0].spec.name, "loss", *bands]):
        curves = {}
        for letter, side in zip(found.letters, found.sides, strict=True):
            points = [(line.step, line.metrics[name]) for line in side.lines if name in line.metrics]
            if points:
                curves[letter] = points
        if curves:
            figures[name] = shared_curves(curves, label=name)
    return figures
