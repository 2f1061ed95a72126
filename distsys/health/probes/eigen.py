"""Eigenvalues that nearly coincide where a gradient goes through their eigenvectors (D18): it is 1 over the gap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from distsys.health.causes import NEAR_EIGENVALUES
from distsys.health.probes.patient import Patient
from distsys.health.probes.tensors import trainable
from distsys.health.verdict import Verdict

_BATCHES = 3
_DECOMPOSITIONS = {
    torch.linalg.eigh: (0, 1),
    torch.linalg.eig: (0, 1),
    torch.linalg.svd: (1, 0),
    torch.svd: (1, 0),
}
"""Function to the places of its values and of vectors in what it returns."""


class _Watching(TorchFunctionMode):
    """Notes decompositions through which a gradient can go."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[float] = []
        self.used: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        places = _DECOMPOSITIONS.get(func)
        if places is not None and isinstance(args[0], Tensor) and args[0].requires_grad:
            self._note(found[places[0]], found[places[1]])
        return found

    def _note(self, values: Tensor, vectors: Tensor) -> None:
        number = len(self.gaps)
        self.gaps.append(_relative_gap(values.detach()) / torch.finfo(values.dtype).eps)
        if vectors.requires_grad:
            vectors.register_hook(lambda gradient: self._note_use(number, gradient))

    def _note_use(self, number: int, gradient: Tensor | None) -> None:
        if gradient is not None and bool((gradient != 0).any()):  # none or zeros where eigenvalues alone are used
            self.used.add(number)


def _relative_gap(values: Tensor) -> float:
    """Smallest distance of neighbours over the largest magnitude, of the worst matrix; 0 where it is not finite."""
    if values.shape[-1] < 2 or not values.numel():
        return float("inf")
    size = values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30)
    ordered = (values.real if values.is_complex() else values).sort(dim=-1).values
    return float((ordered.diff(dim=-1) / size).nan_to_num(0.0).min())


def eigenvalue_gaps(patient: Patient) -> list[Verdict]:
    """Forward, terms and backward on the first batches: gaps of a few roundings, and gradients that are not finite."""
    model = patient.build()
    parameters = trainable(model)
    weights = [weights(1.0) for weights in patient.weights.values()]
    for number in range(_BATCHES):
        batch = patient.batch(range(number * patient.num_items, (number + 1) * patient.num_items), 1.0)
        watching = _Watching()
        with watching:
            terms = patient.loss_terms(patient.forward(model, batch, number), batch)
        if not watching.gaps:
            return []
        parts = [terms[name] for name in terms if any(phase[name] > 0 for phase in weights)]
        total = torch.stack([item.float() for item in parts]).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        broken = any(item is not None and not bool(torch.isfinite(item).all()) for item in gradients)
        gaps = [gap for place, gap in enumerate(watching.gaps) if place in watching.used]
        if gaps and (broken or min(gaps) < _ROUNDINGS):
            evidence = f"batch {number}: the smallest gap of eigenvalues whose vectors have a gradient is "
            evidence += f"{min(gaps):.2g} roundings of the largest{'; the gradient is not finite' if broken else ''}"
            return [NEAR_EIGENVALUES.verdict("stop" if broken else "warn", evidence, step=number)]
    return []


_ROUNDINGS = 10.0
"""Gap below which eigenvectors are those of rounding, in units of the type's epsilon."""
