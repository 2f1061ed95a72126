"""Noise of inputs: its level against the signal (D7), and targets that depend on it (D26)."""

from __future__ import annotations

import math

import torch

from distsys.health.causes import CIRCULAR_TARGET, NOISE_RATIO
from distsys.health.probes.patient import Patient
from distsys.health.probes.tensors import evaluating, finite, real, relative_change, spread
from distsys.health.verdict import Verdict

_BAND, _FAR = (1e-3, 10.0), (1e-5, 100.0)
"""Of noise over signal: beyond the first one hides the other, beyond the second float32 does not hold both."""
_MANY, _ERRORS = 1000, 3.0
"""Values that a correlation needs, and standard errors by which it differs from none."""


def noise_level(patient: Patient) -> list[Verdict]:
    """Noise over signal, from a clean target of the same shape and unit, or from the same items in other noise."""
    return [*_beside_clean(patient), *_beside_other_noise(patient)]


def _beside_other_noise(patient: Patient) -> list[Verdict]:
    """Two draws of one item have its signal in common, and nothing else: their correlation tells noise from signal."""
    if patient.renoised is None:
        return []
    other = patient.renoised(range(patient.num_items), 1.0)
    found = []
    for noisy in patient.role("noisy input"):
        pair = real(patient.late[noisy.name]).flatten(), real(other[noisy.name]).flatten()
        count = len(pair[0])
        size = float(pair[0].norm() * pair[1].norm())
        if count < _MANY or not 0.0 < size < math.inf:
            continue
        common = float(pair[0] @ pair[1]) / size
        least = max(common, _ERRORS / math.sqrt(count))  # below it chance alone may correlate
        ratio = math.sqrt(max(1.0 / least - 1.0, 0.0))
        if common < _ERRORS / math.sqrt(count) or ratio > _BAND[1]:
            evidence = f"two draws of the same items of '{noisy.name}' have a correlation of {common:.2g}: "
            found.append(
                NOISE_RATIO.verdict("warn", f"{evidence}noise is {ratio:.2g} times the signal or more", step=0)
            )
    return found


def _judged(ratio: float, name: str, beside: str) -> list[Verdict]:
    evidence = f"noise in '{name}' is {ratio:.3g} times {beside}"
    if not _FAR[0] <= ratio <= _FAR[1]:
        return [NOISE_RATIO.verdict("stop", evidence, step=0)]
    return [] if _BAND[0] <= ratio <= _BAND[1] else [NOISE_RATIO.verdict("warn", evidence, step=0)]


def _beside_clean(patient: Patient) -> list[Verdict]:
    found = []
    for noisy in patient.role("noisy input"):
        for clean in patient.role("target"):
            given, wanted = patient.late[noisy.name], patient.late[clean.name]
            if given.shape != wanted.shape or given.dtype != wanted.dtype or noisy.unit != clean.unit:
                continue
            signal = spread(wanted)
            ratio = float(finite(given - wanted).square().mean().sqrt()) / max(signal, 1e-30)
            found += _judged(ratio, noisy.name, f"'{clean.name}' ({signal:.3g} {clean.unit})")
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
