"""Somebody else's run in our form, so that it can be compared: from MLflow, an Optuna study, or a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distsys.config.layers import leaves
from distsys.config.validate import config_type
from distsys.domains.protocol import AnyDomain, MetricSpec
from distsys.errors import UsageError, did_you_mean
from distsys.health.curves.history import History, series_of
from distsys.health.curves.names import with_guesses
from distsys.health.verdict import Verdict, is_sick
from distsys.pipeline.compare import IMPORTED
from distsys.pipeline.ended import examined_runs
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.outcome import FILE, Outcome
from distsys.training.selection import Choice, Selection

FOLDER = "imported"
"""Below the folder of all experiments."""


@dataclass(frozen=True)
class Imported:
    """What became of a foreign run.

    Args:
        folder: where it stands now.
        metric: what chose its step, as it called it; told as the domain's from now on.
        verdicts: what its curves show.
    """

    folder: Path
    metric: str
    step: int
    value: float
    verdicts: tuple[Verdict, ...]


def imported(
    source: str,
    domain: AnyDomain,
    name: str,
    *,
    root: Path,
    metric: str | None = None,
    tracking: str | None = None,
    study: str | None = None,
) -> Imported:
    """The run of ``source`` as one of ``domain`` below ``root``, chosen at its best step.

    Args:
        source: what ``distsys doctor --run`` takes, or a storage of Optuna, whose study's best trial is taken.
        metric: what the run calls the domain's selection metric, where it is not the same.
        tracking: the MLflow store of a run that is named by its id.
        study: of the storage, where it has several.

    Raises:
        UsageError: there is no such run, its metric is not there, or the name is taken.
    """
    folder = root / FOLDER / name
    if (folder / FILE).is_file():
        raise UsageError(f"{folder}: is there already", fix="name it otherwise with --name, or remove that folder")
    history, verdicts = _read(source, domain.selection, root=root, metric=metric, tracking=tracking, study=study)
    theirs = metric or (domain.selection.name if history.get(domain.selection.name) else None)
    if theirs is None or history.get(theirs) is None:
        names = [item.name for item in history.series]
        raise UsageError(
            f"{source}: no curve '{metric or domain.selection.name}' among {', '.join(names[:8])}",
            expected=f"what the run calls {domain.name}'s {domain.selection.name}",
            fix=f"--metric NAME; {did_you_mean(metric or domain.selection.name, names)}",
        )
    lines = _lines(history, {theirs: domain.selection.name})
    choice = _choice(lines, domain.selection, verdicts)
    _write(folder, source, domain, history.facts, lines, choice)
    return Imported(folder, theirs, choice.step, choice.value, verdicts)


def _read(
    source: str, spec: MetricSpec, *, root: Path, metric: str | None, tracking: str | None, study: str | None
) -> tuple[History, tuple[Verdict, ...]]:
    from distsys.cluster.foreign_study import best_trial, is_study

    if tracking is None and is_study(source):
        best = best_trial(source, study)
        if best.direction != spec.direction:
            raise UsageError(
                f"study '{best.study}' is for {best.direction}", expected=f"{spec.direction}, as {spec.name} is"
            )
        points = sorted(best.reported.items())
        curve = series_of(metric or spec.name, [step for step, _ in points], [value for _, value in points])
        facts = {name: value for name, value in best.params.items() if isinstance(value, int | float)}
        return History(f"{best.study} trial {best.number}", with_guesses([curve]), facts=facts), ()
    asked = f"{metric}:{spec.direction}" if metric else None
    (found,) = examined_runs(source, root=root, tracking=tracking, metric=asked)
    return found.history, found.verdicts


def _lines(history: History, names: Mapping[str, str]) -> dict[int, dict[str, float]]:
    """Metrics by step, under our names where ``names`` has one."""
    lines: dict[int, dict[str, float]] = {}
    for series in history.series:
        for step, value in zip(series.steps, series.values, strict=True):
            lines.setdefault(round(float(step)), {})[names.get(series.name, series.name)] = float(value)
    return dict(sorted(lines.items()))


def _choice(lines: Mapping[int, Mapping[str, float]], spec: MetricSpec, verdicts: tuple[Verdict, ...]) -> Choice:
    """The best step by the metric, with what was last told of everything else by then."""
    told = {step: line[spec.name] for step, line in lines.items() if np.isfinite(line.get(spec.name, np.nan))}
    if not told:
        raise UsageError(f"'{spec.name}' is never a number", expected="a curve with finite values")
    best = min(told, key=lambda step: -told[step] if spec.direction == "max" else told[step])
    metrics = {name: value for step, line in lines.items() if step <= best for name, value in line.items()}
    return Choice(best, told[best], float("nan"), metrics, [], list(verdicts))


def _write(
    folder: Path,
    source: str,
    domain: AnyDomain,
    facts: Mapping[str, float],
    lines: Mapping[int, Mapping[str, float]],
    choice: Choice,
) -> None:
    config = {"domain": domain.name, **_placed(domain, facts)}
    spool = Spool.open(folder, RunRecord("train", folder.name, None, {"source": source}, {}))
    for step, metrics in lines.items():
        spool.log(metrics, step=step)
    spool.finish("finished", verdicts=choice.verdicts)
    healthy = None if is_sick(choice.verdicts) else choice
    selection = Selection(domain.selection, best=healthy, nearest=choice, by_metric=choice, last=choice)
    selection.last_healthy_step = choice.step if healthy else None
    Outcome(folder, {"phase": IMPORTED, "config": config}, selection).write()


def _placed(domain: AnyDomain, facts: Mapping[str, float]) -> dict[str, Any]:
    """Settings under the paths of our config that end with their name; the others under ``imported``."""
    paths = _paths(domain)
    placed: dict[str, Any] = {}
    for name, value in facts.items():
        where = paths.get(name, [])
        *above, last = where[0].split(".") if len(where) == 1 else (IMPORTED, name)
        level = placed
        for key in above:
            level = level.setdefault(key, {})
        level[last] = value
    return placed


def _paths(domain: AnyDomain) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in _known(domain):
        found.setdefault(path.rpartition(".")[2], []).append(path)
    return found


def _known(domain: AnyDomain) -> Iterator[str]:
    kind = config_type(domain.config)
    yield from (path for path, _ in leaves(kind.model_construct().model_dump()))
