"""``distsys doctor --run``: a run that ended, found, read and judged by its curves."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distsys.console import wrapped
from distsys.errors import UsageError, did_you_mean
from distsys.health.curves.history import History
from distsys.health.curves.registry import examine_curves
from distsys.health.verdict import Verdict, is_sick
from distsys.specs import Direction, MetricSpec
from distsys.tracking.curves_csv import read_csv
from distsys.tracking.curves_mlflow import is_run_folder, read_mlflow, read_run_folder
from distsys.tracking.location import URI_VARIABLE, store_uri
from distsys.tracking.spool import METRICS_FILE, STATUS_FILE, read_status
from distsys.training.evaluated import Evaluated

_PHASES = ("final", "handoff", "trials")
"""Folders of an experiment's runs; those of the first that has any stand for it."""
_FEWEST = 8
"""Points of a curve: most checks say nothing of fewer."""
_RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Postmortem:
    """What the curves of one run say.

    Args:
        verdicts: ``stop`` first.
    """

    history: History
    verdicts: tuple[Verdict, ...]

    def content(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        guesses = {
            item.name: {"kind": item.meaning.kind, "split": item.meaning.split, "direction": item.meaning.direction}
            for item in self.history.series
            if item.meaning.is_guess and item.meaning.kind != "other"
        }
        return {
            "run": self.history.name,
            "curves": len(self.history.series),
            "points": self.history.points,
            "guesses": guesses,
            "notes": list(self.history.notes),
            "verdicts": [verdict.content() for verdict in self.verdicts],
        }

    def lines(self) -> list[str]:
        """One line where all is well; otherwise one a cause below it, and what was guessed; at 80 columns."""
        unknown = sum(item.meaning.kind == "other" and item.meaning.is_guess for item in self.history.series)
        known = f" ({unknown} of unknown meaning)" if unknown else ""
        counts = [f"{len(found)} {status}" for status in ("stop", "warn") if (found := self._of(status))]
        head = (
            f"doctor: run {self.history.name}: {len(self.history.series)} curves{known}, {self.history.points} points"
        )
        told = [f"{verdict.status}  from step {verdict.onset_step}, {verdict}" for verdict in self.verdicts]
        notes = [f"note: {text}" for text in (*self.history.notes, *(self._guessed() if told else []))]
        said = ", ".join(counts) or self._nothing_found()
        return [part for text in (f"{head}: {said}", *told, *notes) for part in wrapped(text)]

    def _nothing_found(self) -> str:
        """Of our own runs bands and verdicts are known however few the points are."""
        is_long = any(len(item) >= _FEWEST for item in self.history.series)
        is_judged = self.history.chosen is not None
        return "no cause found" if is_long or is_judged else f"too short to judge (under {_FEWEST} points)"

    def _of(self, status: str) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.status == status]

    def _guessed(self) -> list[str]:
        found = [item for item in self.history.of_kind("metric") if item.meaning.is_guess and item.meaning.direction]
        named = ", ".join(f"{item.name} ({item.meaning.direction})" for item in found)
        return [f"guessed from names which way metrics are better: {named}; --metric NAME:max says it"] if named else []


def examined_runs(
    run: str, *, root: Path, tracking: str | None = None, metric: str | None = None
) -> tuple[Postmortem, ...]:
    """The run, or every run of the last phase of an experiment, that ``run`` names.

    Args:
        run: a folder of distsys or of ``mlruns``, a CSV or TSV file, or the id of an MLflow run.
        root: where experiments are looked for by name, and the store of an MLflow run by its id.
        tracking: the MLflow store to look in, instead.
        metric: ``NAME``, ``NAME:max`` or ``NAME:min``: what chooses the checkpoint of a run that declares nothing.

    Raises:
        DistsysError: it is not found, or cannot be read.
    """
    found = _histories(run, root=root, tracking=tracking)
    asked = [_with_metric(item, metric) if metric else item for item in found]
    return tuple(Postmortem(item, _judged(item)) for item in asked)


def is_refused(found: Sequence[Postmortem]) -> bool:
    """Whether what stands must not be chosen; of other candidates of its experiment that is a word, no more."""
    return any(is_sick(item.verdicts) for item in found if item.history.stands)


def _judged(history: History) -> tuple[Verdict, ...]:
    """What the curves show, and what was known already of what was chosen."""
    found = examine_curves(history)
    causes = {verdict.cause for verdict in found}
    known = [verdict for verdict in history.known if verdict.cause not in causes]
    return tuple(sorted([*found, *known], key=lambda verdict: verdict.status != "stop"))


def _histories(run: str, *, root: Path, tracking: str | None) -> list[History]:
    if tracking is not None:
        return [read_mlflow(tracking, run)]
    place = next((path for path in (Path(run), root / run) if path.exists()), None)
    if place is None:
        return [_by_id(run, root)]
    if place.is_file():
        return [read_csv(place)]
    if is_run_folder(place):
        return [read_run_folder(place)]
    folders = _own_runs(place, METRICS_FILE)
    if folders:
        from distsys.pipeline.own_curves import own_history  # needs torch, which a table does not

        return [_as_evaluated(own_history(folder), folder, place) for folder in folders]
    if folders := _own_runs(place, STATUS_FILE):
        return [_without_curves(folder) for folder in folders]
    raise UsageError(
        f"--run {run}: a folder without a run",
        expected=f"an experiment or a run with its {METRICS_FILE}, a run's folder below mlruns, or a CSV file",
    )


def _own_runs(place: Path, file: str) -> list[Path]:
    """Runs of the last phase of an experiment, or the run itself, that have left ``file``."""
    for phase in _PHASES:
        if found := sorted(path.parent for path in place.glob(f"{phase}/*/{file}")):
            return found
    return [place] if (place / file).is_file() else []


def _as_evaluated(history: History, folder: Path, place: Path) -> History:
    """With what the evaluation of its experiment, or its own, says of it; or of another run that was taken instead."""
    evaluated = Evaluated.read(place)
    if evaluated is None:
        return history
    taken = evaluated.run.name
    if taken != folder.name:
        return replace(history, stands=False, notes=(*history.notes, f"the experiment chose {taken}"))
    known = {verdict.cause: verdict for verdict in (*history.known, *evaluated.verdicts)}
    return replace(history, known=tuple(known.values()))


def _without_curves(folder: Path) -> History:
    """A run that ended before its first validation: how it stood then is all that is known."""
    status = read_status(folder)
    message = f": {status.message}" if status.message else ""
    note = f"no validation was made, so that there are no curves; {status.status}{message}"
    return History(folder.name, (), known=tuple(status.verdicts), notes=(note,))


def _by_id(run: str, root: Path) -> History:
    uri = store_uri(root)
    if _RUN_ID.fullmatch(run) and (URI_VARIABLE in os.environ or (root / "mlflow.db").is_file()):
        return read_mlflow(uri, run)
    raise UsageError(
        f"--run {run}: no such file or folder, here or in {root}",
        expected="a folder of distsys, a CSV or TSV file, or the id of an MLflow run",
        fix="name the store of an MLflow run with --tracking",
    )


def _with_metric(history: History, asked: str) -> History:
    """``history`` whose checkpoint is chosen by ``NAME[:max|min]``."""
    name, _, direction = asked.rpartition(":") if asked.endswith((":max", ":min")) else (asked, "", "")
    series = history.get(name)
    if series is None:
        known = [item.name for item in history.series]
        raise UsageError(f"--metric {name}: no such curve in run {history.name}", fix=did_you_mean(name, known))
    way: Direction | None = series.meaning.direction
    way = "max" if direction == "max" else "min" if direction == "min" else way
    if way is None:
        raise UsageError(
            f"--metric {name}: its name does not say which way is better", fix=f"--metric {name}:max or :min"
        )
    split = series.meaning.split or "validation"
    meaning = replace(series.meaning, kind="metric", direction=way, split=split, is_guess=not direction)
    told = replace(series, meaning=meaning)
    others = tuple(told if item.name == name else item for item in history.series)
    return replace(history, series=others, selection=MetricSpec(name, way, ""), tie=None)
