"""What probes measure on tensors: real values, scales, and whether something moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from distsys.health.probes.patient import Tensors

_ROUNDING = 1e-5
"""Relative to the largest value: kernels round differently by layout."""


def is_numeric(values: Tensor) -> bool:
    """Whether values are measured, not counted."""
    return values.is_floating_point() or values.is_complex()


def real(values: Tensor) -> Tensor:
    """As float64, complex ones with an axis more."""
    values = values.detach()
    return (torch.view_as_real(values) if values.is_complex() else values).double()


def finite(values: Tensor) -> Tensor:
    """Finite values of ``values``, flat."""
    flat = real(values).flatten()
    return flat[torch.isfinite(flat)]


def spread(values: Tensor) -> float:
    """Standard deviation of the finite values."""
    found = finite(values)
    return float(found.std(correction=0)) if found.numel() else 0.0


def largest(values: Tensor) -> float:
    """Largest finite magnitude."""
    found = finite(values)
    return float(found.abs().max()) if found.numel() else 0.0


def change(before: Tensors, after: Tensors) -> float:
    """Largest relative change of any output; infinite where they are not of one shape."""
    if before.keys() != after.keys() or any(before[name].shape != after[name].shape for name in before):
        return float("inf")
    return max((relative_change(before[name], after[name]) for name in before), default=0.0)


def relative_change(before: Tensor, after: Tensor) -> float:
    """Largest difference over the largest magnitude."""
    if not before.numel():
        return 0.0
    difference = (real(before) - real(after)).abs().nan_to_num(0.0)
    top = float(difference.max())
    return top / max(largest(before), largest(after), 1e-30) if top else 0.0


def changed_rows(before: Tensor, after: Tensor) -> Tensor:
    """Which items differ by more than rounding."""
    difference = (real(before) - real(after)).abs().nan_to_num(0.0).flatten(1).amax(dim=1)
    return difference > _ROUNDING * max(largest(before), 1e-30)


def gradients(value: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of a scalar with respect to what it depends on of ``of``."""
    if not value.requires_grad:
        return []
    found = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)
    return [item for item in found if item is not None]


def gradient_norm(value: Tensor, parameters: Sequence[Tensor]) -> float:
    """Norm of the gradient of a scalar, 0 where it has none."""
    present = gradients(value, parameters)
    return float(torch.nn.utils.get_total_norm(present)) if present else 0.0


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are not frozen."""
    return [item for item in model.parameters() if item.requires_grad]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the modes of all modules are put back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
