"""Verdicts on one validation: metrics outside their bands, and values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from distsys.health.causes import NOT_FINITE
from distsys.health.verdict import Constraint, Verdict


def judge_constraints(constraints: Sequence[Constraint], metrics: Mapping[str, float], *, step: int) -> list[Verdict]:
    """One verdict a constraint, in their order."""
    return [item.judge(metrics[item.metric], step=step) for item in constraints]


def judge_finite(values: Mapping[str, float], *, step: int) -> Verdict | None:
    """``stop`` where one of ``values`` is NaN or infinite."""
    broken = {name: value for name, value in values.items() if not math.isfinite(value)}
    if not broken:
        return None
    return NOT_FINITE.verdict("stop", ", ".join(f"{name} = {value:g}" for name, value in broken.items()), step=step)
