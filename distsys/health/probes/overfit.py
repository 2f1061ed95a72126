"""Eight items learned by heart, with and without dropout: a model that cannot has nothing to search for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from distsys.health.causes import CONSTANT_OUTPUT, DROPOUT, NOTHING_LEARNED
from distsys.health.flight.spreads import all_below, spreads
from distsys.health.probes.patient import Patient, Tensors
from distsys.health.probes.tensors import evaluating, gradient_norm, trainable
from distsys.health.verdict import Verdict

_FEW, _STEPS, _SECONDS = 8, 60, 6.0
_GAIN = 0.01
"""Of the way from the first value to the declared bound."""
_SAME = 0.02
"""Of the target's spread, or of the outputs' own size: what varies less is the same for all."""


def eight_items(patient: Patient) -> list[Verdict]:
    """The term that leads must fall on eight items at some rate; it is measured without dropout in any case.

    Where it does not, outputs that are the same for all of them are the cause, and not learning what follows.
    """
    batch = patient.batch(range(min(_FEW, patient.num_items)), 1.0)
    term = _leading(patient, batch)
    if term is None:
        return []
    rates = (patient.learning_rate, 3e-3, 0.1 * patient.learning_rate)
    tries = [_tried(patient, batch, term, rate, is_noisy=True) for rate in rates]
    if _best(tries) >= _GAIN:
        return []
    if any("Drop" in type(module).__name__ for module in patient.build().modules()):
        tries = [_tried(patient, batch, term, rate, is_noisy=False) for rate in rates]
        if _best(tries) >= _GAIN:
            evidence = (
                f"without dropout {term} falls by {100 * _best(tries):.1f} % of the way to its bound, with it not"
            )
            return [DROPOUT.verdict("warn", evidence, step=0)]
    count = len(next(iter(batch.values())))
    evidence = f"{term} on {count} items falls by {100 * _best(tries):.2g} % of the way to its bound in {_STEPS} steps"
    alike = [_alike(patient, item.model, batch) for item in tries]
    if all(alike):
        return [CONSTANT_OUTPUT.verdict("warn", f"{alike[0]}; {evidence}", step=_STEPS)]
    return [NOTHING_LEARNED.verdict("warn", f"{evidence} at three rates", step=0)]


@dataclass(frozen=True)
class _Try:
    """How far the term fell, as a share of the way to its bound, and the model that came of it."""

    gain: float
    model: nn.Module


def _best(tries: Sequence[_Try]) -> float:
    return max(item.gain for item in tries)


def _alike(patient: Patient, model: nn.Module, batch: Tensors) -> str:
    """What to say of outputs that are the same for all items; nothing where they are not."""
    fields = {item.name: item for item in patient.fields}
    with evaluating(model):
        outputs = patient.forward(model, batch, 0)
    return all_below(spreads(outputs, batch=batch, fields=fields), _SAME)


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


def _tried(patient: Patient, batch: Tensors, term: str, rate: float, *, is_noisy: bool) -> _Try:
    """Steps on one batch; they end as soon as the gain is enough, or the machine is too slow to know."""
    model, until = patient.build(), time.monotonic() + _SECONDS
    model.train(is_noisy)
    optimizer = torch.optim.Adam(trainable(model), lr=rate)
    first = best = _value(patient, model, batch, term)
    bound = next(item.lower_bound for item in patient.terms if item.name == term)
    way = first - bound if bound > -float("inf") else abs(first) + 1.0
    if way <= 0.0:
        return _Try(1.0, model)
    for number in range(_STEPS):
        loss = patient.loss_terms(patient.forward(model, batch, 0), batch)[term]
        if time.monotonic() > until:
            return _Try(1.0, model)
        if not loss.requires_grad:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number % 5 == 4:
            best = min(best, _value(patient, model, batch, term))
            if (first - best) / way >= _GAIN:
                break
    return _Try((first - best) / way, model)


def _value(patient: Patient, model: nn.Module, batch: Tensors, term: str) -> float:
    with evaluating(model):
        return float(patient.loss_terms(patient.forward(model, batch, 0), batch)[term])
