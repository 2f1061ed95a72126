"""Eight items learned by heart, with and without dropout: a model that cannot has nothing to search for."""

from __future__ import annotations

import time

import torch
from torch import nn

from distsys.health.causes import DROPOUT, NOTHING_LEARNED
from distsys.health.probes.patient import Patient, Tensors
from distsys.health.probes.tensors import evaluating, gradient_norm, trainable
from distsys.health.verdict import Verdict

_FEW, _STEPS, _SECONDS = 8, 60, 6.0
_GAIN = 0.01
"""Of the way from the first value to the declared bound."""


def eight_items(patient: Patient) -> list[Verdict]:
    """The term that leads must fall on eight items at some rate; it is measured without dropout in any case."""
    batch = patient.batch(range(min(_FEW, patient.num_items)), 1.0)
    term = _leading(patient, batch)
    if term is None:
        return []
    rates = (patient.learning_rate, 3e-3, 0.1 * patient.learning_rate)
    for is_noisy in (True, False):
        gains = [_gain(patient, batch, term, rate, is_noisy=is_noisy) for rate in rates]
        if max(gains) >= _GAIN:
            if is_noisy:
                return []
            evidence = f"without dropout {term} falls by {100 * max(gains):.1f} % of the way to its bound, with it not"
            return [DROPOUT.verdict("warn", evidence, step=0)]
        if not any("Drop" in type(module).__name__ for module in patient.build().modules()):
            break
    evidence = f"{term} on {len(next(iter(batch.values())))} items falls by {100 * max(gains):.2g} % of the way to its "
    return [NOTHING_LEARNED.verdict("warn", f"{evidence}bound in {_STEPS} steps at three rates", step=0)]


def _leading(patient: Patient, batch: Tensors) -> str | None:
    """The term with the largest weighted gradient."""
    model = patient.build()
    weights = next(iter(patient.weights.values()))(1.0)
    terms = patient.loss_terms(patient.forward(model, batch, 0), batch)
    parameters = trainable(model)
    norms = {
        name: weights[name] * gradient_norm(value, parameters) for name, value in terms.items() if weights[name] > 0
    }
    return max(norms, key=lambda name: norms[name]) if norms else None


def _gain(patient: Patient, batch: Tensors, term: str, rate: float, *, is_noisy: bool) -> float:
    """How far the term falls, as a share of the way to its bound; ends as soon as that is enough, or too slow."""
    model, until = patient.build(), time.monotonic() + _SECONDS
    model.train(is_noisy)
    optimizer = torch.optim.Adam(trainable(model), lr=rate)
    first = best = _value(patient, model, batch, term)
    bound = next(item.lower_bound for item in patient.terms if item.name == term)
    way = first - bound if bound > -float("inf") else abs(first) + 1.0
    if way <= 0.0:
        return 1.0
    for number in range(_STEPS):
        loss = patient.loss_terms(patient.forward(model, batch, 0), batch)[term]
        if time.monotonic() > until:
            return 1.0  # a slow machine knows nothing
        if not loss.requires_grad:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number % 5 == 4:
            best = min(best, _value(patient, model, batch, term))
            if (first - best) / way >= _GAIN:
                break
    return (first - best) / way


def _value(patient: Patient, model: nn.Module, batch: Tensors, term: str) -> float:
    with evaluating(model):
        return float(patient.loss_terms(patient.forward(model, batch, 0), batch)[term])
