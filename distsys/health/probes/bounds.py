"""Outputs that lie on a bound before anything is trained, or leave their range for want of one (D4, D23)."""

from __future__ import annotations

from distsys.health.causes import OUT_OF_BOUNDS, OUTPUT_ON_BOUND
from distsys.health.flight.bounds import beyond_range, range_text
from distsys.health.flight.rows import answer_to, on_bound, rows_of
from distsys.health.probes.patient import Patient
from distsys.health.probes.tensors import evaluating
from distsys.health.verdict import Verdict

_MOST = 0.5
"""Of values, beyond what the target has there."""
_OUTSIDE, _FAR = 0.05, 1.0
"""Share of values outside their range, and the worst one's distance in widths of it."""


def outputs_on_bound(patient: Patient) -> list[Verdict]:
    """Most values of an output equal its extremes, after a few steps: a ``warn``, since training may lead it away."""
    model, batch = patient.rehearsal.model, patient.late
    with evaluating(model):
        outputs = patient.forward(model, batch, 0)
    fields = {item.name: item for item in patient.fields}
    for name, value in outputs.items():
        rows = rows_of(value)
        if rows is None:
            continue
        share, bounds = on_bound(rows, answer_to(name, outputs, batch=batch, fields=fields))
        if share > _MOST:
            evidence = f"{share:.0%} more of the values of '{name}' than of its target's lie exactly on {bounds}"
            return [OUTPUT_ON_BOUND.verdict("warn", evidence, step=len(patient.rehearsal.steps))]
    return []


def outputs_in_range(patient: Patient) -> list[Verdict]:
    """Outputs of a field's name that leave its range after a few steps: a ``warn``, since training may mend it."""
    model, batch = patient.rehearsal.model, patient.late
    with evaluating(model):
        outputs = patient.forward(model, batch, 0)
    for field in patient.fields:
        if field.name in outputs:
            share, worst = beyond_range(outputs[field.name], field)
            if share > _OUTSIDE or worst > _FAR:
                evidence = range_text(field, share, worst)
                return [OUT_OF_BOUNDS.verdict("warn", evidence, step=len(patient.rehearsal.steps))]
    return []
