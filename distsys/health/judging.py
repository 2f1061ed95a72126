"""Verdicts on one validation: metrics outside their bands, values that are not finite; and what a person accepted."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from distsys.health.causes import AT_CHANCE, CANNOT_LEARN, DEAD_PARAMETERS, NOT_FINITE, TRIVIAL, UNRELATED_TARGETS
from distsys.health.verdict import OUTSIDE, Constraint, Verdict
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


_UNANSWERED = {item.name for item in (AT_CHANCE, UNRELATED_TARGETS, CANNOT_LEARN, DEAD_PARAMETERS)}
"""May end by themselves while a run goes on, so that they only warn; a run that ends with one is not well."""


def as_accepted(verdicts: Iterable[Verdict], accepted: Collection[str]) -> list[Verdict]:
    """``verdicts``, where what is meant by the person whose run it is refuses nothing."""
    return [
        replace(item, status="warn") if item.cause in accepted and item.status == "stop" else item for item in verdicts
    ]


def unanswered(verdicts: Iterable[Verdict], accepted: Collection[str]) -> list[Verdict]:
    """Of the warnings with which a training ends, those that keep its model from being chosen, as ``stop``."""
    way = "where it is meant: --set 'health.accept=[{}]'"
    return [
        replace(item, status="stop", fix="; ".join(filter(None, (item.fix, way.format(item.cause)))))
        for item in verdicts
        if item.cause in _UNANSWERED and item.cause not in accepted
    ]


def is_near(verdicts: Iterable[Verdict]) -> bool:
    """Whether metrics alone speak against what was judged, which more training may mend: bands, trivial baselines."""
    stops = [item.cause for item in verdicts if item.status == "stop"]
    return all(cause == TRIVIAL.name or cause.endswith(OUTSIDE) for cause in stops)
