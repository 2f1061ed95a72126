"""Where a NaN comes from: the innermost module, the term, the eigendecomposition behind it (D18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from distsys.health.causes import NEAR_EIGENVALUES, NOT_FINITE
from distsys.health.eigen import EigenWatch
from distsys.health.nested import tensors
from distsys.health.verdict import Verdict

_TINY = 1e-5
"""Relative eigengap at which float32 cannot tell two eigenvalues apart."""


@dataclass(frozen=True)
class Trouble:
    """A step whose gradient was not finite.

    Args:
        text: module, term and eigengap; empty where this worker's numbers were finite.
        is_eigen: whether everything was finite but the gradient of an eigendecomposition.
        step: the first such step, or 0.
    """

    text: str = ""
    is_eigen: bool = False
    step: int = 0

    def state(self) -> dict[str, Any]:
        return asdict(self)

    def verdicts(self) -> list[Verdict]:
        """A warning: a few skipped steps are survived, past a budget they end the run."""
        if not self.text:
            return []
        cause = NEAR_EIGENVALUES if self.is_eigen else NOT_FINITE
        return [cause.verdict("warn", self.text, step=self.step)]


def diagnose(
    model: nn.Module,
    forward: Callable[[], tuple[Any, Mapping[str, Tensor]]],
    *,
    weights: Mapping[str, float],
    step: int,
) -> Trouble:
    """Repeat the forward pass of a step that went wrong, and each term's backward pass; leaves all as it was.

    Args:
        forward: the same pass again, without wrapper, to outputs and terms.
    """
    first: list[str] = []
    eigen = EigenWatch()
    with _as_it_was(model), torch.enable_grad(), _watched(model, first), eigen:
        _, terms = forward()
    broken = [name for name, value in terms.items() if not bool(torch.isfinite(value))]
    parameters = [item for item in model.parameters() if item.requires_grad]
    used = {name: value for name, value in terms.items() if weights.get(name) != 0.0}
    hit = broken or [name for name, value in used.items() if not _has_finite_gradient(value, parameters)]
    found = eigen.found()
    near = found is not None and (found.gap < _TINY or found.gap != found.gap)
    texts = [f"innermost module with a non-finite output: {first[0]}"] if first else []
    texts += [f"{'term' if broken else 'gradient of'} not finite: {', '.join(hit)}"] if hit else []
    texts += [f"smallest relative eigengap {found.gap:.2g}"] if found is not None and near else []
    return Trouble("; ".join(texts), is_eigen=near and not first and bool(hit), step=step)


def _has_finite_gradient(term: Tensor, parameters: list[nn.Parameter]) -> bool:
    if not term.requires_grad:
        return True
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return all(bool(torch.isfinite(item).all()) for item in found if item is not None)


@contextmanager
def _watched(model: nn.Module, first: list[str]) -> Iterator[None]:
    """Names the modules whose outputs are not finite, in the order in which they return: the innermost first."""
    names = {id(module): name or type(module).__name__ for name, module in model.named_modules()}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if id(module) in names and not all(_is_finite(item) for item in tensors(output)):
            first.append(names[id(module)])

    hook = nn.modules.module.register_module_forward_hook(note)
    try:
        yield
    finally:
        hook.remove()


def _is_finite(value: Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex()) or bool(torch.isfinite(value).all())


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Buffers (running statistics, say) and random states are put back."""
    kept = [(item, item.detach().clone()) for item in model.buffers()]
    devices = {item.device for item in model.parameters() if item.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            with torch.no_grad():
                for item, before in kept:
                    item.copy_(before)
