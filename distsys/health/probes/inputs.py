"""Inputs that do nothing (D10), and items of a batch that look at each other."""

from __future__ import annotations

from collections.abc import ItemsView, ValuesView
from copy import deepcopy

import torch
from torch import Tensor, nn

from distsys.health.causes import IGNORED_INPUT, MIXED_ITEMS
from distsys.health.probes.patient import Patient, Tensors
from distsys.health.probes.tensors import change, changed_rows, evaluating, is_numeric, largest, trainable
from distsys.health.verdict import Verdict

_NOTHING = 1e-7
"""Of the largest output: the rounding of float32."""
_STIR = 0.1
"""Of the size of weights, and of 1: by how much weights are changed to see whether a path can open."""


class _Noted(dict[str, Tensor]):
    """A batch that knows which of its tensors were looked at."""

    def __init__(self, batch: Tensors) -> None:
        super().__init__(batch)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Tensor | None = None) -> Tensor | None:  # type: ignore[override]
        self.read.add(name)
        return super().get(name, default)

    def items(self) -> ItemsView[str, Tensor]:  # type: ignore[override]
        self.read |= set(self)
        return super().items()

    def values(self) -> ValuesView[Tensor]:  # type: ignore[override]
        self.read |= set(self)
        return super().values()


def inputs_matter(patient: Patient) -> list[Verdict]:
    """After a few steps: each input swapped with another item's must change the outputs, or it is not used."""
    model, batch = patient.rehearsal.model, patient.late
    if len(next(iter(batch.values()))) < 2:
        return []
    noted = _Noted(batch)
    with evaluating(model):
        before = patient.forward(model, noted, 0)
    if largest_of(before) == 0.0:
        return []  # a head that is still zero hides everything behind it
    found = []
    for item in patient.role("input", "noisy input", "conditioning"):
        if _is_equal_for_all(batch[item.name]):
            continue
        if item.name not in noted.read:
            evidence = f"{item.role} '{item.name}' is never read by forward"
            found.append(IGNORED_INPUT.verdict("warn", evidence, step=len(patient.rehearsal.steps)))
            continue
        moved = _effect(patient, model, item.name)
        if moved > _NOTHING:
            continue
        sure = moved == 0.0 and is_numeric(batch[item.name])
        evidence = f"another item's '{item.name}' ({item.role}) changes the outputs by {moved:.2g} of their size"
        found.append(IGNORED_INPUT.verdict("stop" if sure else "warn", evidence, step=len(patient.rehearsal.steps)))
    return found


def largest_of(outputs: Tensors) -> float:
    """Largest magnitude of all outputs."""
    return max((largest(values) for values in outputs.values()), default=0.0)


def _is_equal_for_all(values: Tensor) -> bool:
    return bool((values[:1] == values).all())


def _effect(patient: Patient, model: nn.Module, name: str) -> float:
    """Largest relative change of outputs: in evaluation, in training mode, and with other weights."""
    batch = patient.late
    swapped = {**batch, name: batch[name].roll(1, dims=0)}
    with evaluating(model):
        effects = [change(patient.forward(model, batch, 0), _tried(patient, model, swapped, batch))]
    if effects[0] <= _NOTHING:
        with torch.no_grad():
            effects.append(change(patient.forward(model, batch, 0), _tried(patient, model, swapped, batch)))
        stirred = _stirred(model)
        with evaluating(stirred):
            effects.append(change(patient.forward(stirred, batch, 0), _tried(patient, stirred, swapped, batch)))
    return max(effects)


def _stirred(model: nn.Module) -> nn.Module:
    """A copy with other weights: a gate that is zero at first opens, whatever the learning rate; a dead path stays."""
    other = deepcopy(model)
    with torch.no_grad():
        for item in trainable(other):
            generator = torch.Generator().manual_seed(item.numel())
            noise = torch.randn(item.shape, generator=generator, dtype=item.dtype).to(item.device)
            item.add_(noise * (_STIR * (float(item.abs().mean()) + _STIR)))
    return other


def _tried(patient: Patient, model: nn.Module, swapped: Tensors, batch: Tensors) -> Tensors:
    """Outputs for the swapped batch; none, which is a change, where tensors no longer fit each other."""
    try:
        return patient.forward(model, swapped, 0)
    except (ValueError, RuntimeError, AssertionError, IndexError):
        return {}


def items_are_independent(patient: Patient) -> list[Verdict]:
    """In evaluation mode the outputs of half of a batch must not move when the other half is replaced.

    A permutation would miss a softmax over items. Counts and indices stay, so that all tensors keep their shape.
    Outputs that are ordered otherwise than the batch are mixed where none of their rows stays.
    """
    model, batch = patient.rehearsal.model, patient.late
    count = len(next(iter(batch.values())))
    half = count // 2
    if half == 0:
        return []
    others = patient.batch(range(count, 2 * count), 1.0)
    if any(others[name].shape != values.shape for name, values in batch.items()):
        return []
    for kept in (slice(0, half), slice(half, count)):  # every item is replaced once: all might look at the first alone
        if name := _moved_by_others(patient, model, others, kept):
            evidence = f"output '{name}' of some items moves when the {half} others of the batch are replaced"
            return [MIXED_ITEMS.verdict("warn", evidence, step=len(patient.rehearsal.steps))]
    return []


def _moved_by_others(patient: Patient, model: nn.Module, others: Tensors, kept: slice) -> str:
    """The output that moves at the ``kept`` items when ``others`` stand in for the rest; empty where none does."""
    batch = patient.late
    replaced = {name: _kept_in(others[name], values, kept) for name, values in batch.items()}
    with evaluating(model):
        before, after = patient.forward(model, batch, 0), _tried(patient, model, replaced, batch)
    if change(before, after) in (0.0, float("inf")):
        return ""
    count = len(next(iter(batch.values())))
    mixed = [name for name, values in before.items() if values.ndim > 0 and _is_mixed(values, after[name], count, kept)]
    aligned = [name for name in mixed if len(before[name]) == count]
    partial = [name for name, values in before.items() if values.ndim > 1 and len(values) < count]
    if not aligned and (not partial or len(mixed) < len(partial)):
        return ""
    return (aligned or mixed)[0]


def _kept_in(others: Tensor, values: Tensor, kept: slice) -> Tensor:
    if not is_numeric(values):
        return values
    found = others.clone()
    found[kept] = values[kept]
    return found


def _is_mixed(before: Tensor, after: Tensor, count: int, kept: slice) -> bool:
    moved = changed_rows(before if before.ndim > 1 else before[:, None], after if after.ndim > 1 else after[:, None])
    if len(before) == count:
        return bool(moved[kept].any())
    return len(before) > 1 and before.ndim > 1 and bool(moved.all())
