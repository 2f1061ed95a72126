"""What a loop does, as the checks see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from distsys.health.nested import tensors


@dataclass
class Call:
    """One call of an outermost module.

    Args:
        graded: gradients were recorded, and the module has a parameter that wants one.
        training: the module's mode at the call.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    graded: bool
    training: bool

    @property
    def first(self) -> Tensor | None:
        """The first tensor among its arguments."""
        return next(tensors((self.args, dict(self.kwargs))), None)


@dataclass
class Loss:
    """One call of a loss of ``torch.nn.functional``.

    Args:
        site: file and line of the caller outside of torch.
        again: computes it for another prediction and target, under the same options.
        reduction: mean, sum or none.
        graded: the prediction carries a gradient.
        shape: of the prediction.
    """

    name: str
    site: str
    prediction: Tensor
    target: Tensor
    value: Tensor
    again: Callable[[Tensor, Tensor], Tensor]
    reduction: str
    graded: bool
    shape: tuple[int, ...] = ()


@dataclass
class Choice:
    """One softmax, log-softmax or argmax; ``dim`` is None for an argmax over everything."""

    name: str
    site: str
    source: Tensor
    dim: int | None
    result: Tensor


@dataclass
class Held:
    """An optimiser and what is known of it.

    Args:
        steps: how often it stepped.
        tries: how often it stepped or an AMP scaler skipped it.
        alive: for each of its parameters, at the last look, whether it had a gradient that is not all zero.
    """

    optimizer: Optimizer
    steps: int = 0
    tries: int = 0
    alive: list[bool] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)

    def parameters(self) -> list[Tensor]:
        """Those that want a gradient."""
        groups = self.optimizer.param_groups
        return [item for group in groups for item in group["params"] if item.requires_grad]

    def rate(self) -> float:
        """The largest learning rate of its groups."""
        return max((float(group.get("lr", 1.0)) for group in self.optimizer.param_groups), default=0.0)


def largest_entries(items: list[Tensor | None]) -> list[float]:
    """Largest magnitude of each tensor, 0 where there is none; one host wait a device."""
    found = [0.0] * len(items)
    by_device: dict[torch.device, list[int]] = {}
    for index, item in enumerate(items):
        if item is not None and item.numel():
            by_device.setdefault(item.device, []).append(index)
    for indices in by_device.values():
        present = [items[index] for index in indices]
        dense = [item.coalesce().values() if item.is_sparse else item for item in present if item is not None]
        norms = torch._foreach_norm([item.detach() for item in dense], float("inf"))
        for index, value in zip(indices, torch.stack([norm.float() for norm in norms]).tolist(), strict=True):
            found[index] = value
    return found


def rows(tensor: Tensor) -> int:
    """Length of the first axis, 0 for a scalar."""
    return tensor.shape[0] if tensor.ndim else 0
