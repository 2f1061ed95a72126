"""Verdicts on one validation: metrics outside their bands, and values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from distsys.health.causes import NOT_FINITE, TRIVIAL
from distsys.health.verdict import Constraint, Verdict
from distsys.specs import MetricSpec


def judge_constraints(
    constraints: Sequence[Constraint], metrics: Mapping[str, float], *, errors: Mapping[str, float], step: int
) -> list[Verdict]:
    """One verdict a constraint, in their order; ``errors`` are standard errors of metrics, 0 where not named."""
    return [item.judge(metrics[item.metric], step=step, error=errors.get(item.metric, 0.0)) for item in constraints]


def judge_beside_trivial(
    spec: MetricSpec, value: float, trivial: Mapping[str, float], *, floor: float, step: int, is_short: bool
) -> Verdict | None:
    """Whether a model is worse than the best of the ``trivial`` baselines by more than the noise ``floor``.

    A short run may still be on its way: it is warned of, the end of a training is refused.
    """
    known = {name: other for name, other in trivial.items() if math.isfinite(other)}
    if not known or not math.isfinite(value):
        return None
    sign = -1.0 if spec.direction == "max" else 1.0
    name = min(known, key=lambda name: sign * known[name])
    if not spec.better(known[name], than=value) or abs(known[name] - value) <= floor:
        return None
    evidence = f"{spec.name} = {value:.4g} {spec.unit}, '{name}' has {known[name]:.4g} {spec.unit}"
    return TRIVIAL.verdict("warn" if is_short else "stop", evidence, step=step)


def judge_finite(values: Mapping[str, float], *, step: int) -> Verdict | None:
    """``stop`` where one of ``values`` is NaN or infinite."""
    broken = {name: value for name, value in values.items() if not math.isfinite(value)}
    if not broken:
        return None
    return NOT_FINITE.verdict("stop", ", ".join(f"{name} = {value:g}" for name, value in broken.items()), step=step)
