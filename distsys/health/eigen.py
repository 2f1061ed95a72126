"""Eigendecompositions of a forward pass: how near their eigenvalues lie, and what that does to gradients.

The gradient of eigenvectors holds 1 / (eigenvalue - other eigenvalue) (Magnus 1985, theorem 1): nearly equal ones
blow it up long before equal ones make it NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DECOMPOSITIONS: Mapping[Callable[..., Any], tuple[int, int]] = {
    torch.linalg.eigh: (0, 1),
    torch.linalg.svd: (1, 0),
    torch.svd: (1, 0),
}
"""Which part of the result holds values, and which vectors."""


@dataclass(frozen=True)
class Eigen:
    """The decomposition with the nearest eigenvalues.

    Args:
        gap: smallest difference of two neighbours, relative to the largest eigenvalue.
        gain: gradient norm at the matrix times its norm, over gradient norm at the vectors; at most about 1 / gap.
    """

    gap: float
    gain: float


@dataclass
class _Call:
    gap: Tensor
    size: Tensor
    at_vectors: Tensor | None = None
    at_matrix: Tensor | None = None


class EigenWatch(TorchFunctionMode):
    """Within it, decompositions whose vectors are differentiated are noted; numbers stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[_Call] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _DECOMPOSITIONS and args and isinstance(args[0], Tensor):
            value_at, vector_at = _DECOMPOSITIONS[func]
            self._note(args[0], result[value_at], result[vector_at])
        return result

    def _note(self, matrix: Tensor, values: Tensor, vectors: Tensor) -> None:
        if not (matrix.requires_grad and vectors.requires_grad) or values.shape[-1] < 2:
            return
        with torch._C.DisableTorchFunction(), torch.no_grad():
            found = values.detach()
            gaps = found.sort(dim=-1).values.diff(dim=-1).amin(-1) / found.abs().amax(-1)
            call = _Call(gaps.amin(), matrix.detach().norm())
        self._calls.append(call)

        def vectors_got(gradient: Tensor) -> None:
            call.at_vectors = gradient.detach().norm()

        def matrix_got(gradient: Tensor) -> None:
            call.at_matrix = gradient.detach().norm()

        vectors.register_hook(vectors_got)
        matrix.register_hook(matrix_got)

    def found(self) -> Eigen | None:
        """The worst of them; None where none ran or no gradient passed its vectors."""
        known = [Eigen(float(call.gap), _gain(call)) for call in self._calls]
        return min(known, key=lambda item: item.gap) if known else None


def _gain(call: _Call) -> float:
    if call.at_vectors is None or call.at_matrix is None:
        return 0.0
    at_vectors = float(call.at_vectors)
    return float(call.at_matrix) * float(call.size) / at_vectors if at_vectors else 0.0
