"""The weighted objective: the one place where ``lambda_<term>`` meets a loss term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from distsys.config.schema import Schedule
from distsys.domains.protocol import TermSpec

if TYPE_CHECKING:
    from torch import Tensor


class Objective:
    """Weights on terms, alike in training and validation.

    Args:
        terms: the domain's terms.
        weights: ``lambda_<term>`` to its schedule, one for every term.
    """

    def __init__(self, terms: Sequence[TermSpec], weights: Mapping[str, Schedule]) -> None:
        self._schedules = {term.name: weights[term.weight_name] for term in terms}
        self._weight_names = {term.name: term.weight_name for term in terms}

    def weights(self, progress: float) -> dict[str, float]:
        """``lambda_<term>`` to its value at ``progress`` (0 to 1) of the budget."""
        return {self._weight_names[name]: item.at(progress) for name, item in self._schedules.items()}

    def term_weights(self, progress: float) -> dict[str, float]:
        """Each term's weight at ``progress``, by the term's name."""
        return {name: item.at(progress) for name, item in self._schedules.items()}

    def total(self, terms: Mapping[str, Tensor], progress: float) -> Tensor:
        """The weighted sum of ``terms``, a scalar in float32; weight 0 leaves its term out of it."""
        assert terms.keys() == self._schedules.keys(), f"terms {sorted(terms)} are not {sorted(self._schedules)}"
        parts = [terms[name].float() * item.at(progress) for name, item in self._schedules.items()]
        return torch.stack(parts).sum()

    def gradient_shares(
        self, terms: Mapping[str, Tensor], parameters: Sequence[Tensor], progress: float
    ) -> dict[str, float]:
        """Each weighted term's share of the sum of the terms' gradient norms, 0 to 1."""
        norms = {}
        for name, schedule in self._schedules.items():
            weighted = terms[name].float() * schedule.at(progress)
            norms[name] = _gradient_norm(weighted, parameters)
        whole = sum(norms.values())
        return {name: norm / whole if whole else 0.0 for name, norm in norms.items()}


def _gradient_norm(value: Tensor, parameters: Sequence[Tensor]) -> float:
    if not value.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    present = [gradient for gradient in gradients if gradient is not None]
    return float(torch.nn.utils.get_total_norm(present)) if present else 0.0
