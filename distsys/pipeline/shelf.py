"""The experiments of one ``--out``, by what lies in their folders: how they stand, how good and how large they are."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distsys.domains.registry import get_domain
from distsys.errors import DamagedFile, DistsysError, UsageError
from distsys.files import lock, read_json
from distsys.health.verdict import Verdict, is_sick
from distsys.pipeline.durations import PHASES
from distsys.report.verdicts import health_word
from distsys.tracking.spool import (
    METRICS_FILE,
    RUN_FILE,
    RunRecord,
    read_metrics,
    read_record,
    read_start_ms,
    read_status,
)
from distsys.training.evaluated import FILE as EVALUATION

KINDS = ("experiment", "train")


@dataclass(frozen=True)
class Shelved:
    """An experiment, or a training without a search.

    Args:
        state: ``running``, or one of the spool's ``STATUSES``; a run whose driver is gone is ``interrupted``.
        phase: what it did last, and how far that came.
        best: selection metric on the test set or, before that, of its best validation so far; NaN without one.
        metric: what ``best`` is of, with its unit and direction.
        size: bytes of its folder.
    """

    folder: Path
    domain: str
    state: str
    phase: str
    best: float
    metric: tuple[str, str, str]
    health: str
    is_sick: bool
    started_s: float
    changed_s: float
    size: int

    @property
    def name(self) -> str:
        return self.folder.name

    def content(self) -> dict[str, Any]:
        """Plain values."""
        name, unit, direction = self.metric
        return {
            "name": self.name, "folder": str(self.folder), "domain": self.domain, "state": self.state,
            "phase": self.phase, "metric": name, "unit": unit, "direction": direction,
            "best": None if math.isnan(self.best) else self.best, "health": self.health, "is_sick": self.is_sick,
            "started_s": self.started_s, "changed_s": self.changed_s, "bytes": self.size,
        }  # fmt: skip


def shelved(root: Path) -> list[Shelved]:
    """Every experiment below ``root``, the latest first; what cannot be read stands there as damaged."""
    found = [_look(folder) for folder in sorted(root.glob("*")) if (folder / RUN_FILE).is_file()]
    return sorted((item for item in found if item is not None), key=lambda item: -item.changed_s)


def one(folder: Path) -> Shelved:
    """The experiment in ``folder``.

    Raises:
        UsageError: it is none.
    """
    found = _look(folder) if (folder / RUN_FILE).is_file() else None
    if found is None:
        raise UsageError(f"{folder}: no experiment", fix="'distsys list' names them")
    return found


def _look(folder: Path) -> Shelved | None:
    try:
        record, status = read_record(folder), read_status(folder)
    except DamagedFile as error:
        began = folder.stat().st_mtime
        return Shelved(
            folder, "?", "damaged", "", math.nan, ("", "", ""), error.found, True, began, began, _size(folder)
        )
    if record.kind not in KINDS:
        return None
    state = "interrupted" if status.status == "running" and not _is_held(folder) else status.status
    domain = str(record.params.get("domain", "?"))
    value, metric, verdicts = _result(folder, domain)
    verdicts = verdicts or status.verdicts
    is_known = not math.isnan(value) or verdicts
    return Shelved(
        folder, domain, state, _phase(folder, record), value, metric, health_word(verdicts) if is_known else "",
        is_sick(verdicts), read_start_ms(folder) / 1e3, _changed(folder), _size(folder),
    )  # fmt: skip


def _is_held(folder: Path) -> bool:
    with lock(folder / ".lock") as is_free:
        return not is_free


def _result(folder: Path, domain: str) -> tuple[float, tuple[str, str, str], Sequence[Verdict]]:
    """Value, metric and verdicts: of the evaluation, else of the best run so far that may be chosen."""
    if (folder / EVALUATION).is_file():
        with suppress(DamagedFile):
            return read_json(folder / EVALUATION, _evaluated, fix="")
    try:
        spec = get_domain(domain).selection
    except DistsysError:
        return math.nan, ("", "", ""), ()
    values = [value for run in _runs(folder) for value in _best_values(run, spec.name)]
    best = (max if spec.direction == "max" else min)(values, default=math.nan)
    return best, (spec.name, spec.unit, spec.direction), ()


def _evaluated(content: Mapping[str, Any]) -> tuple[float, tuple[str, str, str], Sequence[Verdict]]:
    name = content["selection"]
    value = content["metrics"][name]
    metric = (name, content["unit"], content["direction"])
    return math.nan if value is None else float(value), metric, Verdict.read_all(content["verdicts"])


def _best_values(run: Path, metric: str) -> Iterator[float]:
    """Of the validations of ``run`` that a metric of its own says nothing against; a run that is sick has none."""
    with suppress(DamagedFile):
        if not any(item.status == "stop" for item in read_status(run).verdicts):
            yield from (line.metrics[metric] for line in read_metrics(run) if metric in line.metrics)


def _runs(folder: Path) -> list[Path]:
    own = [folder] if (folder / METRICS_FILE).is_file() else []
    return own + [run for name in PHASES.values() for run in sorted((folder / name).glob("*")) if run.is_dir()]


def _phase(folder: Path, record: RunRecord) -> str:
    if record.kind == "train":
        return f"step {_step(folder)}/{record.params.get('final.steps')}"
    if (folder / EVALUATION).is_file():
        return "evaluated"
    finals = sorted((folder / PHASES["final"]).glob("*"))
    if finals:
        return f"final, step {max(map(_step, finals))}/{record.params.get('final.steps')}"
    if (folder / PHASES["handoff"]).is_dir():
        runs = list((folder / PHASES["handoff"]).glob("*"))
        return f"handoff, {sum((run / 'outcome.json').is_file() for run in runs)} of {len(runs)} ended"
    trials = list((folder / PHASES["search"]).glob("*"))
    ended = sum(_has_ended(run) for run in trials)
    return f"search, {ended}/{record.params.get('search.trials')}" if trials else "begun"


def _has_ended(run: Path) -> bool:
    with suppress(DamagedFile):
        return read_status(run).status not in ("running", "interrupted")
    return False


def _step(run: Path) -> int:
    with suppress(DamagedFile):
        return max((line.step for line in read_metrics(run)), default=0)
    return 0


def _changed(folder: Path) -> float:
    """When a run of it last said something, in Unix seconds."""
    files = [run / name for run in [folder, *_runs(folder)] for name in (METRICS_FILE, "status.json")]
    return max((path.stat().st_mtime for path in files if path.is_file()), default=folder.stat().st_mtime)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


@dataclass(frozen=True)
class Rule:
    """What is to be cleared away: an experiment to which all that is given here applies.

    Args:
        older_s: unchanged for so long.
        states: one of these.
        larger: than so many bytes.
    """

    older_s: float = 0.0
    states: frozenset[str] = frozenset()
    larger: int = 0

    def applies(self, item: Shelved, *, now: float) -> bool:
        is_old = now - item.changed_s >= self.older_s
        return is_old and item.size >= self.larger and (not self.states or item.state in self.states)


def to_clear(items: Sequence[Shelved], rule: Rule) -> list[Shelved]:
    """What of ``items`` the rule is for: nothing that runs, and of each domain never its best healthy experiment."""
    spared = {item.folder for item in _best_of_each(items)}
    now = time.time()
    return [
        item for item in items if item.state != "running" and item.folder not in spared and rule.applies(item, now=now)
    ]


def _best_of_each(items: Sequence[Shelved]) -> list[Shelved]:
    best: dict[str, Shelved] = {}
    for item in items:
        if math.isnan(item.best) or item.is_sick:
            continue
        known, sign = best.get(item.domain), -1.0 if item.metric[2] == "max" else 1.0
        if known is None or sign * item.best < sign * known.best:
            best[item.domain] = item
    return list(best.values())


def clear(items: Sequence[Shelved]) -> None:
    """Remove their folders; one that another driver has taken up since stays.

    Raises:
        UsageError: one of them runs.
    """
    for item in items:
        with lock(item.folder / ".lock") as is_free:
            if not is_free:
                raise UsageError(f"{item.folder} runs again", fix="wait for it, or leave it out")
            shutil.rmtree(item.folder)
