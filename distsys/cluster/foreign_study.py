"""The best trial of somebody else's Optuna study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from distsys.errors import UsageError, did_you_mean
from distsys.specs import Direction


@dataclass(frozen=True)
class BestTrial:
    """Of a study.

    Args:
        reported: values by step that it told on its way; its end's alone where it told none.
        count: trials that ended in the study.
    """

    study: str
    number: int
    direction: Direction
    params: Mapping[str, Any]
    reported: Mapping[int, float]
    value: float
    count: int


def is_study(place: str) -> bool:
    """Whether ``place`` names an Optuna storage: a URL of a database, a journal, or a database file with studies."""
    if "://" in place:
        return place.split("://")[0].split("+")[0] in ("sqlite", "mysql", "postgresql")
    path = Path(place)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        begin = stream.read(256)
    return b'"op_code"' in begin.split(b"\n")[0] or begin.startswith(b"SQLite format 3")


def best_trial(place: str, study: str | None) -> BestTrial:
    """The best trial of ``study``, or of the only one, in the storage ``place``.

    Raises:
        UsageError: there is no such study, several to choose from, or no trial in it has ended.
    """
    storage = _storage(place)
    names = optuna.get_all_study_names(storage)
    if study is None and len(names) != 1:
        raise UsageError(f"{place}: {len(names)} studies ({', '.join(names[:5])})", fix="name one with --study")
    name = study or names[0]
    if name not in names:
        raise UsageError(f"{place}: no study '{name}'", fix=did_you_mean(name, names))
    loaded = optuna.load_study(study_name=name, storage=storage)
    if len(loaded.directions) != 1:
        raise UsageError(f"study '{name}' has {len(loaded.directions)} objectives", expected="one")
    ended = loaded.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    if not ended:
        raise UsageError(f"study '{name}': no trial has ended", expected="one with a value")
    best = loaded.best_trial
    value = float(best.values[0])
    is_max = loaded.direction == optuna.study.StudyDirection.MAXIMIZE
    reported = dict(best.intermediate_values) or {0: value}
    return BestTrial(name, best.number, "max" if is_max else "min", best.params, reported, value, len(ended))


def _storage(place: str) -> Any:
    if "://" in place:
        return place
    with Path(place).open("rb") as stream:
        is_database = stream.read(15) == b"SQLite format 3"
    return f"sqlite:///{Path(place).resolve()}" if is_database else JournalStorage(JournalFileBackend(place))
