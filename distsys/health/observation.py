"""One look at a training step: collects what checks judge, by hooks that are gone when the look is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from distsys.health.columns import by_kind
from distsys.health.eigen import EigenWatch

TermsOf = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, Tensor]]
"""(outputs, batch) to loss terms."""


class Observation:
    """Used as a context around the forward pass, then told of terms, gradients and the update, in this order.

    It computes gradients of terms with respect to outputs, never to parameters, and keeps references, not copies.
    """

    def __init__(self, model: nn.Module, terms_of: TermsOf) -> None:
        self._model, self._terms_of = model, terms_of
        self._eigen = EigenWatch()
        self._hook: Any = None
        self.ran: dict[int, bool] = {}
        self.stale = tuple(name for name, item in model.named_parameters() if item.grad is not None)
        self.norm_used, self.learning_rate = math.nan, math.nan
        self.batch: Mapping[str, Tensor] = {}
        self.outputs: Mapping[str, Tensor] = {}
        self.trained: frozenset[str] = frozenset()
        self.weights: Mapping[str, float] = {}
        self._scalars: dict[str, dict[str, Tensor]] = {"terms": {}, "live": {}, "moved": {}, "gradients": {}}
        self._columns: dict[str, tuple[Sequence[str], Tensor]] = {}
        self._silent: list[str] = []

    def __enter__(self) -> Self:
        self._hook = nn.modules.module.register_module_forward_hook(self._note_call)
        self._eigen.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        self._eigen.__exit__(*error)  # type: ignore[no-untyped-call]
        self._hook.remove()

    def _note_call(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.ran[id(module)] = self.ran.get(id(module), False) or torch.is_grad_enabled()

    def saw(
        self,
        batch: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float],
        *,
        live: bool,
        moved: bool,
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """After the forward pass, before the backward pass frees its graph.

        Args:
            live: measure which items give each term a gradient, at a backward pass through each loss.
            moved: measure terms with outputs exchanged, at a forward pass through the losses.
            columns: of outputs whose gradient is measured by kind of column too, if ``live``.
        """
        self.batch, self.weights = batch, weights
        self.outputs = {name: value.detach() for name, value in outputs.items()}
        self.trained = frozenset(name for name, value in outputs.items() if value.requires_grad)
        self._scalars["terms"] = {name: value.detach() for name, value in terms.items()}
        if live:
            self._take_slopes(outputs, terms, columns or {})
        if moved:
            self._scalars["moved"] = self._moved_terms()

    def _take_slopes(
        self, outputs: Mapping[str, Tensor], terms: Mapping[str, Tensor], columns: Mapping[str, Sequence[str]]
    ) -> None:
        """Gradients of each term with respect to outputs; of their weighted sum only what columns ask for is kept."""
        trained = {name: outputs[name] for name in sorted(self.trained)}
        sums: dict[str, Tensor] = {}
        for term, value in terms.items():
            slopes = _slopes(value, trained)
            self._scalars["live"][term] = _live_share(slopes.values(), value.device)
            for name in slopes.keys() & columns.keys():
                sums[name] = sums.get(name, torch.zeros_like(slopes[name])) + self.weights[term] * slopes[name]
        self._columns = {name: (columns[name], by_kind(value, columns[name])) for name, value in sums.items()}

    def columns(self) -> dict[str, dict[str, float]]:
        """Squared gradient norm of each kind of column, by output."""
        return {
            name: dict(zip(dict.fromkeys(kinds), squares.tolist(), strict=True))
            for name, (kinds, squares) in self._columns.items()
        }

    def reach(self, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> frozenset[str]:
        """Parameters that terms of weight zero reach."""
        idle = [value.float() for name, value in terms.items() if weights[name] == 0.0 and value.requires_grad]
        named = {name: item for name, item in self._model.named_parameters() if item.requires_grad}
        if not idle or not named:
            return frozenset()
        total = torch.stack(idle).sum()
        found = torch.autograd.grad(total, list(named.values()), retain_graph=True, allow_unused=True)
        return frozenset(name for name, item in zip(named, found, strict=True) if item is not None and item.any())

    def took_gradients(self) -> None:
        """After the backward pass, before anything scales the gradients."""
        got = {name: item.grad for name, item in self._model.named_parameters() if item.grad is not None}
        self._silent = [n for n, item in self._model.named_parameters() if item.requires_grad and item.grad is None]
        if got:
            norms = torch._foreach_norm([item.detach() for item in got.values()])
            self._scalars["gradients"] = dict(zip(got, norms, strict=True))

    def took_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Right before the optimiser moves parameters."""
        held = [item.grad for group in optimizer.param_groups for item in group["params"] if item.grad is not None]
        if held:
            self.norm_used = float(torch.nn.utils.get_total_norm(held))
        self.learning_rate = float(optimizer.param_groups[0]["lr"])

    def numbers(self) -> dict[str, dict[str, float]]:
        """``terms``, ``live``, ``moved`` and ``gradients`` by name, in one transfer from the device."""
        keys = [(part, name) for part, values in self._scalars.items() for name in values]
        flat = [self._scalars[part][name].detach().float().reshape(()) for part, name in keys]
        values = torch.stack(flat).tolist() if flat else []
        found: dict[str, dict[str, float]] = {part: {} for part in self._scalars}
        for (part, name), value in zip(keys, values, strict=True):
            found[part][name] = value
        return found

    def gradients(self, norms: Mapping[str, float]) -> dict[str, float | None]:
        """Norm of each trainable parameter's gradient, None where there is none."""
        return {**norms, **dict.fromkeys(self._silent)}

    @property
    def eigen(self) -> Any:
        return self._eigen.found()

    def _moved_terms(self) -> dict[str, Tensor]:
        """Terms when each item is given another's outputs: what a model that knows nothing of its item reaches."""
        moved = {name: _given_to_others(value) for name, value in self.outputs.items()}
        devices = [item.device for item in self.outputs.values() if item.is_cuda][:1]
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            return dict(self._terms_of(moved, self.batch))


def _given_to_others(value: Tensor) -> Tensor:
    if value.dim() == 0 or len(value) < 2:
        return value
    return value.roll(max(1, len(value) // 2), 0)


def _slopes(term: Tensor, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradient of ``term`` with respect to each output that it looks at."""
    if not term.requires_grad or not outputs:
        return {}
    found = torch.autograd.grad(term, list(outputs.values()), retain_graph=True, allow_unused=True)
    return {name: item for name, item in zip(outputs, found, strict=True) if item is not None and item.numel()}


def _live_share(slopes: Collection[Tensor], device: torch.device) -> Tensor:
    """Share of items that get a gradient, at the output where most do."""
    shares = [_nonzero_rows(item) for item in slopes]
    return torch.stack(shares).amax() if shares else torch.zeros((), device=device)


def _nonzero_rows(gradient: Tensor) -> Tensor:
    rows = gradient.reshape(len(gradient), -1) if gradient.dim() else gradient.reshape(1, 1)
    return rows.ne(0).any(dim=1).float().mean()
