"""Verdicts on a run, and the constraints that a healthy run keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "stop"]


@dataclass(frozen=True)
class Verdict:
    """What one look at a run found.

    Args:
        status: ``stop`` only where going on is pointless or the result must not be chosen.
        cause: name of the defect.
        evidence: numbers with units.
        onset_step: first step at which it was seen.
        fix: what to change.
    """

    status: Status
    cause: str
    evidence: str
    onset_step: int
    fix: str = ""


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

    def judge(self, value: float, *, step: int) -> Verdict:
        """``ok`` inside the band, ``stop`` outside: such a checkpoint is never chosen."""
        if self.violation(value) == 0.0:
            return Verdict("ok", f"{self.metric} in its band", f"{self.metric} = {value:.4g}", step)
        return Verdict(
            "stop", f"{self.metric} outside its band", f"{self.metric} = {value:.4g}, band {self}", step, self.fix
        )

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"<= {self.high:g}"
        if math.isinf(self.high):
            return f">= {self.low:g}"
        return f"[{self.low:g}, {self.high:g}]"


def judge_constraints(constraints: Sequence[Constraint], metrics: Mapping[str, float], *, step: int) -> list[Verdict]:
    """One verdict a constraint, in their order."""
    return [item.judge(metrics[item.metric], step=step) for item in constraints]
