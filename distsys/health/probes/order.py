"""Real steps: the gradient that is used (D20), the rate it is used at (D21), and parameters that get none (D6).

Judged by state, not by names of calls: the gradient of the batch is computed apart, clipped as declared, and compared
with what the optimiser holds when it steps.
"""

from __future__ import annotations

import math

from distsys.health.causes import DEAD_PARAMETERS, NOT_FINITE, SCHEDULE_ORDER, STEP_ORDER
from distsys.health.probes.patient import Patient
from distsys.health.verdict import Verdict

_APART = 0.02
_HALF = 0.5


def step_order(patient: Patient) -> list[Verdict]:
    """The norm that each step used against the declared one, the rate against the schedule."""
    found: list[Verdict] = []
    limit = patient.grad_clip_norm
    steps = patient.rehearsal.steps
    if broken := [number for number, step in enumerate(steps) if not math.isfinite(step.own_norm)]:
        return [NOT_FINITE.verdict("stop", f"the gradient of step {broken[0]} is not finite", step=broken[0])]
    for number, step in enumerate(steps):
        wanted = step.own_norm if limit is None else min(step.own_norm, limit)
        if not math.isclose(step.used_norm, wanted, rel_tol=_APART, abs_tol=1e-9):
            clipped = "" if limit is None else f", clipped at {limit:g}"
            evidence = f"step {number} used a gradient of norm {step.used_norm:.4g}, that of its batch is "
            found.append(STEP_ORDER.verdict("stop", f"{evidence}{step.own_norm:.4g}{clipped}", step=number))
            break
    for number, step in enumerate(steps):
        if not math.isclose(step.rate, step.expected_rate, rel_tol=1e-3, abs_tol=1e-15):
            evidence = f"step {number} used a learning rate of {step.rate:.4g}, its schedule says "
            found.append(SCHEDULE_ORDER.verdict("stop", f"{evidence}{step.expected_rate:.4g}", step=number))
            break
    return found


def parameters_learn(patient: Patient) -> list[Verdict]:
    """More than half of the trainable parameters never had a gradient: four steps, for zero-initialised heads."""
    reached = patient.rehearsal.reached
    dead = [name for name, times in reached.items() if times == 0]
    if not all(math.isfinite(step.own_norm) for step in patient.rehearsal.steps):
        return []
    if len(dead) <= _HALF * len(reached):
        return []
    evidence = f"{len(dead)} of {len(reached)} parameters had no gradient in {len(patient.rehearsal.steps)} steps: "
    return [DEAD_PARAMETERS.verdict("stop", evidence + ", ".join(dead[:3]), step=len(patient.rehearsal.steps))]
