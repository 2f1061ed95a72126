"""Checks by name: those that ship, and those that other packages register by entry point."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from distsys.errors import ConfigError, did_you_mean
from distsys.health.check import Check
from distsys.health.flight.bounds import OutputsInRange, OutputsOnBound
from distsys.health.flight.columns import OneColumn
from distsys.health.flight.eigenvalues import NearEigenvalues
from distsys.health.flight.gradients import GradientState, StaleGradients
from distsys.health.flight.optimiser import HeldParameters, ScheduleOrder, StepOrder
from distsys.health.flight.outputs import ConstantOutputs
from distsys.health.flight.progress import AtChance, NothingMoves
from distsys.health.flight.terms import DeadTerms, OneTerm, TermBounds

GROUP = "distsys.checks"

SHIPPED: tuple[type[Any], ...] = (
    TermBounds,
    OutputsOnBound,
    GradientState,
    StaleGradients,
    HeldParameters,
    ScheduleOrder,
    StepOrder,
    NearEigenvalues,
    ConstantOutputs,
    OutputsInRange,
    DeadTerms,
    OneTerm,
    OneColumn,
    NothingMoves,
    AtChance,
)
"""In the order in which their verdicts are named: causes before what they lead to."""


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def check_names() -> list[str]:
    """Every check, without importing those of other packages."""
    return [*(item.name for item in SHIPPED), *sorted(_entries())]


def build_checks(settings: Mapping[str, Literal["off"] | Mapping[str, float]]) -> list[Check]:
    """A fresh check of every kind, with the thresholds that ``settings`` replace, but for those that are ``off``.

    Raises:
        ConfigError: no check, or no threshold, of a name; or a registered check cannot be loaded.
    """
    for name in settings:
        if name not in check_names():
            raise ConfigError(f"health.checks.{name}: unknown check", fix=did_you_mean(name, check_names()))
    kinds: dict[str, Any] = {item.name: item for item in SHIPPED}
    kinds |= {name: _loaded(entry) for name, entry in _entries().items() if settings.get(name) != "off"}
    built = []
    for name, kind in kinds.items():
        thresholds = settings.get(name, {})
        if not isinstance(thresholds, str):
            built.append(_built(name, kind, thresholds))
    return built


def _built(name: str, kind: Any, thresholds: Mapping[str, float]) -> Check:
    known = inspect.signature(kind).parameters
    for threshold in thresholds:
        if threshold not in known:
            raise ConfigError(
                f"health.checks.{name}.{threshold}: unknown threshold", fix=did_you_mean(threshold, known)
            )
    check: Check = kind(**dict(thresholds))
    return check


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise ConfigError(
            f"check '{entry.name}' ({entry.value}) cannot be loaded: {type(error).__name__}: {error}",
            fix=f"mend its package, uninstall it, or set health.checks.{entry.name}: off",
        ) from error
