"""Generative models: noise levels of sampling and of training (D9), the scale of the data (D7), guards (D8)."""

from __future__ import annotations

from distsys.health.causes import NOISE_LEVELS, NOISE_RATIO, UNGUARDED_SAMPLING
from distsys.health.probes.patient import Patient
from distsys.health.verdict import Verdict
from distsys.specs import Generation

_OUTSIDE, _MANY = 1.5, 0.25
"""A level this many times beyond all of training; share of such levels from which on sampling is extrapolation."""
_SCALE, _FAR_SCALE = 3.0, 10.0


def sampling_matches_training(patient: Patient) -> list[Verdict]:
    """Only where the domain tells what its generative model does."""
    if patient.generation is None:
        return []
    found = patient.generation(patient.rehearsal.model, patient.late)
    return [*_levels(found), *_scale(found), *_guards(patient, found)]


def _levels(found: Generation) -> list[Verdict]:
    trained, visited = found.training_levels, found.sampling_levels
    if not len(trained) or not len(visited):
        return []
    low, high = float(trained.min()) / _OUTSIDE, float(trained.max()) * _OUTSIDE
    outside = int(((visited < low) | (visited > high)).sum())
    if outside == 0:
        return []
    evidence = f"{outside} of {len(visited)} noise levels of the sampler ({float(visited.min()):.3g} to "
    evidence += f"{float(visited.max()):.3g}) lie outside those of training ({low * _OUTSIDE:.3g} to "
    evidence += f"{high / _OUTSIDE:.3g})"
    return [NOISE_LEVELS.verdict("stop" if outside >= _MANY * len(visited) else "warn", evidence, step=0)]


def _scale(found: Generation) -> list[Verdict]:
    if found.assumed_spread <= 0.0 or found.measured_spread <= 0.0:
        return []
    ratio = max(found.assumed_spread / found.measured_spread, found.measured_spread / found.assumed_spread)
    if ratio <= _SCALE:
        return []
    evidence = f"what is diffused has a standard deviation of {found.measured_spread:.3g}, "
    evidence += f"the model assumes {found.assumed_spread:.3g}"
    return [NOISE_RATIO.verdict("stop" if ratio > _FAR_SCALE else "warn", evidence, step=0)]


def _guards(patient: Patient, found: Generation) -> list[Verdict]:
    bands = {item.metric: item for item in patient.constraints}
    broken = []
    for name, value in found.guarded.items():
        if name in bands and bands[name].violation(value) > 0:
            evidence = f"{name} = {value:.4g} on samples, band {bands[name]}, which sampling is to keep by construction"
            broken.append(UNGUARDED_SAMPLING.verdict("stop", evidence, step=0))
    return broken
