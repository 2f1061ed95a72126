"""Asynchronous successive halving (Li et al., arXiv 1810.05934) in which ties below the noise floor live."""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from distsys.domains.protocol import MetricSpec


class RungPruner:
    """Who is clearly behind the others at a rung.

    Args:
        first_step: step of the first rung; the others follow by powers of ``reduction_factor``.
        reduction_factor: one in this many trials at a rung goes on.
        spec: direction of the selection metric.
    """

    def __init__(self, *, first_step: int, reduction_factor: int, spec: MetricSpec) -> None:
        self._first, self._factor, self._spec = first_step, reduction_factor, spec
        self._sign = -1.0 if spec.direction == "max" else 1.0
        self._values: dict[int, dict[int, float]] = {}
        self._ranked: dict[int, list[float]] = {}
        """By step: every trial's value, and all of them in order, the best first, smaller for better."""

    def note(self, number: int, *, step: int, value: float) -> None:
        """A trial's value at ``step``; one that runs again after a crash takes the place of itself."""
        if not self._is_rung(step) or not math.isfinite(value):
            return
        values, ranked = self._values.setdefault(step, {}), self._ranked.setdefault(step, [])
        if number in values:
            del ranked[bisect_left(ranked, self._sign * values[number])]
        values[number] = value
        insort(ranked, self._sign * value)

    def stops(self, number: int, *, step: int, noise_floor: float) -> bool:
        """Whether the trial should end, by what was noted of all at ``step``."""
        ranked = self._ranked.get(step, [])
        if len(ranked) < self._factor or number not in self._values[step]:
            return False
        cutoff = self._sign * ranked[max(1, len(ranked) // self._factor) - 1]
        value = self._values[step][number]
        return self._spec.better(cutoff, than=value) and abs(value - cutoff) > noise_floor

    def _is_rung(self, step: int) -> bool:
        rung = self._first
        while rung < step:
            rung *= self._factor
        return rung == step
