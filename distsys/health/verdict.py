"""Verdicts on a run, and the constraints that a healthy run keeps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Status = Literal["ok", "warn", "stop"]

FAILED = "failed"
OUTSIDE = "outside its band"
"""How the cause of a metric ends that left its band."""


@dataclass(frozen=True)
class Verdict:
    """What one look at a run found.

    Args:
        status: ``stop`` only where going on is pointless or the result must not be chosen.
        cause: name of the defect, without numbers, so that alike ones can be counted.
        evidence: numbers with units.
        onset_step: first step at which it was seen.
        fix: what to change.
    """

    status: Status
    cause: str
    evidence: str
    onset_step: int
    fix: str = ""

    def __str__(self) -> str:
        fix = f"; fix: {self.fix}" if self.fix else ""
        return f"{self.cause}: {self.evidence}{fix}"

    def content(self) -> dict[str, Any]:
        """Plain values, for files and trackers."""
        return asdict(self)

    @classmethod
    def read_all(cls, contents: Iterable[Mapping[str, Any]]) -> tuple[Self, ...]:
        """The verdicts that :meth:`content` gave."""
        return tuple(cls(**content) for content in contents)


@dataclass(frozen=True)
class Constraint:
    """The healthy band ``[low, high]`` of a metric; an open end is infinite."""

    metric: str
    low: float = -math.inf
    high: float = math.inf
    fix: str = ""

    def violation(self, value: float) -> float:
        """How far ``value`` lies outside the band, 0 inside, infinite when it is not finite."""
        if not math.isfinite(value):
            return math.inf
        return max(self.low - value, value - self.high, 0.0)

    def distance(self, value: float) -> float:
        """The violation over the size of the band's edge that is crossed, so that constraints can be added up."""
        if not math.isfinite(value):
            return math.inf
        edge = self.low if value < self.low else self.high
        return 0.0 if self.violation(value) == 0.0 else self.violation(value) / (abs(edge) or 1.0)

    def judge(self, value: float, *, step: int, error: float = 0.0) -> Verdict:
        """``ok`` inside the band, ``stop`` outside: such a checkpoint is never chosen.

        Args:
            error: standard error of ``value``; outside by no more than that is doubtful, a ``warn``.
        """
        if self.violation(value) == 0.0:
            return Verdict("ok", f"{self.metric} in its band", f"{self.metric} = {value:.4g}", step)
        evidence = f"{self.metric} = {value:.4g}, band {self}"
        if self.violation(value) <= error:
            doubt = f"{evidence}, standard error {error:.2g}"
            return Verdict("warn", f"{self.metric} doubtful", doubt, step, f"evaluate on more items; {self.fix}")
        return Verdict("stop", f"{self.metric} {OUTSIDE}", evidence, step, self.fix)

    def beside(self, value: float) -> str:
        """``value`` beside the band, and how far outside it is."""
        away = self.violation(value)
        where = "within" if away == 0.0 else f"{away:.3g} outside" if math.isfinite(away) else "no number"
        return f"{self.metric} = {value:.4g}, band {self}: {where}"

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"<= {self.high:g}"
        if math.isinf(self.high):
            return f">= {self.low:g}"
        return f"[{self.low:g}, {self.high:g}]"


def is_sick(verdicts: Iterable[Verdict]) -> bool:
    """Whether one of them forbids choosing what was judged."""
    return any(verdict.status == "stop" for verdict in verdicts)


def by_cause(verdicts: Iterable[Verdict]) -> list[tuple[Verdict, int]]:
    """One verdict of each cause and how many there are of it, the most frequent first."""
    first: dict[str, Verdict] = {}
    counts: dict[str, int] = {}
    for verdict in verdicts:
        first.setdefault(verdict.cause, verdict)
        counts[verdict.cause] = counts.get(verdict.cause, 0) + 1
    return sorted(((first[cause], count) for cause, count in counts.items()), key=lambda item: -item[1])
