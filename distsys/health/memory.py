"""What checks remember: how often in a row something was bad, and a short history of values."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

KEPT = 24
"""Values of a history's beginning, and as many of its end: enough for a standard error."""

_FEW = 3
"""Values that are averaged, where each is one batch's."""


class Streaks:
    """Looks in a row at which something was bad, by what it is, and the step of the first of them."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[int, int]] = {}

    def update(self, bad: Collection[str], *, step: int) -> None:
        """One more look: whatever is not in ``bad`` is forgotten."""
        self._runs = {
            name: (self._runs[name][0] + 1, self._runs[name][1]) if name in self._runs else (1, step) for name in bad
        }

    def length(self, name: str) -> int:
        return self._runs.get(name, (0, 0))[0]

    def onset(self, name: str) -> int:
        return self._runs[name][1]

    def lasting(self, looks: float) -> list[str]:
        """What was bad at the last ``looks`` looks."""
        return [name for name, (length, _) in self._runs.items() if length >= looks]

    def state(self) -> dict[str, Any]:
        return {name: list(run) for name, run in self._runs.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        self._runs = {name: (length, onset) for name, (length, onset) in state.items()}


class History:
    """First and latest values of several series; what is not finite is left out."""

    def __init__(self) -> None:
        self._first: dict[str, list[float]] = {}
        self._last: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            return
        first = self._first.setdefault(name, [])
        if len(first) < KEPT:
            first.append(value)
        self._last[name] = [*self._last.get(name, [])[1 - KEPT :], value]

    def first(self, name: str, count: int) -> list[float]:
        return self._first.get(name, [])[:count]

    def last(self, name: str, count: int) -> list[float]:
        return self._last.get(name, [])[-count:]

    def state(self) -> dict[str, Any]:
        return {
            "first": {k: list(v) for k, v in self._first.items()},
            "last": {k: list(v) for k, v in self._last.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self._first = {name: list(values) for name, values in state["first"].items()}
        self._last = {name: list(values) for name, values in state["last"].items()}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error; the error of fewer than two values is infinite."""
    count = len(values)
    if count == 0:
        return math.nan, math.inf
    mean = sum(values) / count
    if count == 1:
        return mean, math.inf
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)


def fell_a_tenth(values: History, name: str, *, floor: float = 0.0) -> bool:
    """By a tenth of the way to ``floor``, from the mean of the first few values to that of the last."""
    count = max(1, min(_FEW, len(values.first(name, KEPT)) // _FEW))
    before, _ = mean_and_error(values.first(name, count))
    after, _ = mean_and_error(values.last(name, count))
    return after - floor < 0.9 * (before - floor)


class Remembering:
    """State of a check that remembers nothing but the :class:`Streaks` ``bad``."""

    at_validation = False

    def __init__(self) -> None:
        self.bad = Streaks()

    def state(self) -> dict[str, Any]:
        return {"bad": self.bad.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.bad.load(state["bad"])


class RememberingValues(Remembering):
    """The same with a :class:`History` of ``values``."""

    def __init__(self) -> None:
        super().__init__()
        self.values = History()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "values": self.values.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self.values.load(state["values"])
