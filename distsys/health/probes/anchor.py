"""An objective that scaling the outputs leaves alone, beside a constrained metric that it does not (D13)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from distsys.health.causes import NO_ANCHOR
from distsys.health.probes.patient import Patient, Tensors
from distsys.health.probes.tensors import evaluating, is_numeric
from distsys.health.verdict import Verdict

_FACTOR = 0.3
_STILL = 1e-4
"""Relative change of a total below which scaling does nothing."""
_MOVES = 0.1


def scale_anchor(patient: Patient) -> list[Verdict]:
    """Phases whose weighted terms all stay when outputs are scaled, although a constrained metric moves.

    The metric is asked with the output of the whole model scaled: a domain that evaluates parts of its model is not
    seen.
    """
    loose = [phase for phase in patient.weights if _is_loose(patient, phase)]
    if not loose:
        return []
    moved = _moved_metric(patient)
    if not moved:
        return []
    status: Any = "stop" if len(loose) == len(patient.weights) else "warn"
    evidence = f"no weighted term of the {' and '.join(loose)} phase moves with outputs x {_FACTOR:g}, but {moved}"
    return [NO_ANCHOR.verdict(status, evidence, step=len(patient.rehearsal.steps))]


def _is_loose(patient: Patient, phase: str) -> bool:
    model, weights = patient.rehearsal.model, patient.weights[phase](1.0)
    with evaluating(model):
        outputs = patient.forward(model, patient.late, 0)
        totals = []
        for factor in (1.0, _FACTOR, 1.0 / _FACTOR):
            try:
                terms = patient.loss_terms(_scaled(outputs, factor), patient.late)
            except (ValueError, RuntimeError, AssertionError, IndexError):
                return False  # outputs that are bounded have a scale
            totals.append(_total(terms, weights))
    size = max(abs(totals[0]), 1e-6)
    return all(math.isfinite(one) and abs(one - totals[0]) <= _STILL * size for one in totals)


def _total(terms: Tensors, weights: Any) -> float:
    return float(sum(float(value) * weights[name] for name, value in terms.items() if weights[name] > 0))


def _scaled(outputs: Tensors, factor: float) -> dict[str, Tensor]:
    return {name: values * factor if is_numeric(values) else values for name, values in outputs.items()}


def _moved_metric(patient: Patient) -> str:
    model = patient.rehearsal.model
    before = patient.evaluated.metrics
    with _scaling(model):
        after = patient.evaluate(model).metrics
    for item in patient.constraints:
        old, new = before[item.metric], after[item.metric]
        if abs(new - old) > _MOVES * max(abs(old), abs(new), 1e-9):
            return f"{item.metric} goes from {old:.4g} to {new:.4g}"
    return ""


@contextmanager
def _scaling(model: nn.Module) -> Iterator[None]:
    handle = model.register_forward_hook(lambda module, given, found: _reduced(found))
    try:
        yield
    finally:
        handle.remove()


def _reduced(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        return found * _FACTOR if is_numeric(found) else found
    if isinstance(found, dict):
        return {name: _reduced(value) for name, value in found.items()}
    if type(found) in (list, tuple):
        return type(found)(_reduced(value) for value in found)
    return found
