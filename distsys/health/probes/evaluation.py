"""Evaluation: it works (D19), repeats itself, is precise enough (D16), and weighs as training does (D15)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from distsys.errors import DistsysError
from distsys.health.causes import (
    FAILS_IN_EVALUATION,
    NOISY_EVALUATION,
    OTHER_VALIDATION_LOSS,
    UNSTABLE_EVALUATION,
)
from distsys.health.probes.patient import Evaluated, Patient
from distsys.health.probes.tensors import evaluating
from distsys.health.verdict import Verdict

_FEWEST = 16
"""Items whose standard error is a quarter of their spread: with fewer most differences between trials are ties."""
_APART = 1e-4
_SEEDS = (0, 1, 2)


def evaluation_works(patient: Patient) -> list[Verdict]:
    """Terms and metrics of a model that has made a few steps; metrics twice, alike to the bit, with nothing drawn."""
    model = patient.rehearsal.model
    try:
        _terms_of_frozen(patient, model)
        before = torch.get_rng_state()
        first, second = patient.evaluated, patient.evaluate(model)
    except DistsysError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        return [FAILS_IN_EVALUATION.verdict("stop", f"evaluation raised {text}", step=0)]
    found = []
    names = set(first.metrics) & set(second.metrics)
    differing = sorted(name for name in names if str(first.metrics[name]) != str(second.metrics[name]))
    if differing or [str(item) for item in first.items] != [str(item) for item in second.items]:
        found.append(UNSTABLE_EVALUATION.verdict("stop", _difference(first, second, differing), step=0))
    if not torch.equal(before, torch.get_rng_state()):
        found.append(UNSTABLE_EVALUATION.verdict("warn", "evaluation moves torch's random state", step=0))
    return [*found, *_precision(patient, first)]


def _terms_of_frozen(patient: Patient, model: nn.Module) -> None:
    """What a validation does besides metrics: forward and terms in evaluation mode."""
    device = next(model.parameters()).device
    frozen = {name: values.to(device) for name, values in patient.frozen.items()}
    with evaluating(model):
        patient.loss_terms(patient.forward(model, frozen, 0), frozen)


def _difference(first: Evaluated, second: Evaluated, differing: list[str]) -> str:
    if not differing:
        return "the same model evaluated twice has other items"
    name = differing[0]
    values = f"{first.metrics[name]:.6g} and {second.metrics[name]:.6g}"
    return f"the same model evaluated twice has {name} = {values}; {len(differing)} metrics differ"


def _precision(patient: Patient, found: Evaluated) -> list[Verdict]:
    count = round(len(found.items) / max(found.share, 1e-9))
    known = [item for item in found.items if math.isfinite(item)]
    if count >= _FEWEST or len(known) < 2:
        return []
    mean = sum(known) / len(known)
    spread = math.sqrt(sum((item - mean) ** 2 for item in known) / (len(known) - 1))
    error, unit = spread / math.sqrt(count), patient.selection.unit
    if error == 0.0:
        return []
    evidence = f"{count} items: {patient.selection.name} has a standard error of {error:.3g} {unit}"
    return [NOISY_EVALUATION.verdict("warn", f"{evidence}, {error / spread:.2f} of the items' spread", step=0)]


def losses_agree(patient: Patient) -> list[Verdict]:
    """The same batch and weights, dropout off and normalisation as in evaluation: one loss in training and validation.

    A model that draws in training and not in evaluation (a variational one) differs rightly: its training loss
    depends on the seed, that of its validation does not.
    """
    model, batch = patient.rehearsal.model, patient.late
    pairs = []
    for seed in _SEEDS:
        with _steady(model):  # each time anew: a validation puts the mode of the whole model back, not of its parts
            pairs.append(patient.losses(model, batch, seed))
    training, validation = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(training) > 1 and len(validation) == 1:
        return []
    first, second = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
    if math.isnan(first) or abs(first - second) <= _APART * max(abs(first), abs(second), 1e-6):
        return []
    evidence = f"on one batch at the same weights the loss is {first:.6g} in training, {second:.6g} in validation"
    return [OTHER_VALIDATION_LOSS.verdict("warn", evidence, step=len(patient.rehearsal.steps))]


@contextmanager
def _steady(model: nn.Module) -> Iterator[None]:
    """Training mode without dropout and batch statistics."""
    modes = {module: module.training for module in model.modules()}
    model.train()
    for module in model.modules():
        name = type(module).__name__
        if "Drop" in name or "Norm" in name:
            module.eval()
        elif getattr(module, "dropout", None) and isinstance(module.dropout, float):
            module.eval()  # recurrent and attention layers keep theirs as a number
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
