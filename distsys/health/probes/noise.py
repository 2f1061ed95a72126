"""Noise of inputs: its level against the signal (D7), and targets that depend on it (D26)."""

from __future__ import annotations

import torch

from distsys.health.causes import CIRCULAR_TARGET, NOISE_RATIO
from distsys.health.probes.patient import Patient
from distsys.health.probes.tensors import evaluating, finite, relative_change, spread
from distsys.health.verdict import Verdict

_BAND, _FAR = (1e-3, 10.0), (1e-5, 100.0)
"""Of noise over signal: beyond the first one hides the other, beyond the second float32 does not hold both."""


def noise_level(patient: Patient) -> list[Verdict]:
    """Where a noisy input has a clean target of the same shape and unit, their difference over the target."""
    found = []
    for noisy in patient.role("noisy input"):
        for clean in patient.role("target"):
            given, wanted = patient.late[noisy.name], patient.late[clean.name]
            if given.shape != wanted.shape or given.dtype != wanted.dtype or noisy.unit != clean.unit:
                continue
            signal = spread(wanted)
            ratio = float(finite(given - wanted).square().mean().sqrt()) / max(signal, 1e-30)
            evidence = f"noise in '{noisy.name}' is {ratio:.3g} times '{clean.name}' ({signal:.3g} {clean.unit})"
            if not _FAR[0] <= ratio <= _FAR[1]:
                found.append(NOISE_RATIO.verdict("stop", evidence, step=0))
            elif not _BAND[0] <= ratio <= _BAND[1]:
                found.append(NOISE_RATIO.verdict("warn", evidence, step=0))
    return found


def target_against_noise(patient: Patient) -> list[Verdict]:
    """Targets must not move with the noise, neither those of the batch nor those that terms make.

    Terms are asked with the same outputs and another noisy input: what moves was made of the input. Targets of the
    batch are seen only where the domain offers the same items with other noise: one that a loader estimated from
    noisy data and stored beside them is not, nor one that a model puts among its outputs.
    """
    noisy = patient.role("noisy input")
    if not noisy:
        return []
    return [*_in_terms(patient, [item.name for item in noisy]), *_in_batch(patient)]


def _in_terms(patient: Patient, names: list[str]) -> list[Verdict]:
    batch, model = patient.late, patient.rehearsal.model
    with evaluating(model):
        outputs = patient.forward(model, batch, 0)
        before = patient.loss_terms(outputs, batch)
        other = {**batch, **{name: _disturbed(batch[name]) for name in names}}
        after = patient.loss_terms(outputs, other)
    moved = [name for name in before if relative_change(before[name], after[name]) > 1e-6]
    if not moved:
        return []
    first = moved[0]
    values = f"'{first}' goes from {float(before[first]):.4g} to {float(after[first]):.4g}"
    evidence = f"with other noise in {', '.join(names)} and the same outputs {values}"
    return [CIRCULAR_TARGET.verdict("stop", evidence, step=0)]


def _disturbed(values: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(values.shape, generator=generator, dtype=values.dtype).to(values.device)
    return values + max(spread(values), 1e-6) * noise


def _in_batch(patient: Patient) -> list[Verdict]:
    if patient.renoised is None:
        return []
    other = patient.renoised(range(patient.num_items), 1.0)
    found = []
    for item in patient.role("target"):
        moved = relative_change(patient.late[item.name], other[item.name])
        if moved > 1e-6:
            evidence = f"with other noise on the same items target '{item.name}' moves by {moved:.2g} of its size"
            found.append(CIRCULAR_TARGET.verdict("stop", evidence, step=0))
    return found
