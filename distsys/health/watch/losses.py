"""What a loss of torch is given, judged by value: shapes, ranges, what is already a softmax, constant predictions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from distsys.health.causes import (
    AXIS_OF_ONE,
    BROADCAST,
    CONSTANT_OUTPUT,
    MIXED_UNITS,
    NOT_LOG_PROBABILITIES,
    SIGMOID_TWICE,
    SOFTMAX_TWICE,
    TARGET_RANGE,
)
from distsys.health.watch.check import Check
from distsys.health.watch.events import Loss, rows
from distsys.health.watch.run import Run

LOOKS = 12
TIMES = 3
_SHAPES = tuple(
    f"{name}Backward{number}"
    for name in (
        "View",
        "UnsafeView",
        "ReshapeAlias",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Permute",
        "Clone",
        "Select",
    )
    for number in (0, 1)
)
"""Nodes of a graph that change nothing but shape."""
SHARE = 0.999
"""Of the squared error in one column: the others do nothing."""
REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


class LossInputs(Check):
    """Counts, by caller, how often in a row a loss was given something that it is not made for."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._counts: dict[tuple[str, str], int] = {}

    def on_loss(self, loss: Loss) -> None:
        if not (self.run.looking and loss.graded):
            return
        look = {
            "cross_entropy": self._cross_entropy,
            "nll_loss": self._log_probabilities,
            "kl_div": self._log_probabilities,
            "binary_cross_entropy": self._binary,
            "binary_cross_entropy_with_logits": self._binary,
        }.get(loss.name, self._regression)
        look(loss, loss.prediction.detach(), loss.target.detach())
        self._constant(loss, loss.prediction.detach(), loss.target.detach())

    def on_difference(self, site: str, prediction: Tensor, target: Tensor) -> None:
        """A loss written by hand: [items, 1] and [items] make a matrix of all pairs, which a few losses do want."""
        column, flat = sorted((tuple(prediction.shape), tuple(target.shape)), key=len, reverse=True)
        items = {rows(call.first) for call in self.run.calls.values() if call.first is not None}
        crossed = len(column) == 2 and len(flat) == 1 and column == (*flat, 1) and flat[0] > 1 and flat[0] in items
        if self._repeated(site, "shape", crossed, TIMES):
            evidence = f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} are subtracted"
            self.found(BROADCAST, "warn", f"{evidence}, which makes a matrix of all pairs", step=0)

    def _repeat(self, loss: Loss, what: str, holds: bool, times: int) -> bool:
        return self._repeated(loss.site, what, holds, times)

    def _repeated(self, site: str, what: str, holds: bool, times: int) -> bool:
        key = site, what
        self._counts[key] = self._counts.get(key, 0) + 1 if holds else 0
        return self._counts[key] == times

    def _cross_entropy(self, loss: Loss, prediction: Tensor, target: Tensor) -> None:
        axis = 1 if prediction.ndim > 1 else 0
        if self._repeat(loss, "axis", prediction.shape[axis] == 1, TIMES):
            evidence = f"cross-entropy over one class: the prediction is {tuple(prediction.shape)}"
            self.found(AXIS_OF_ONE, "stop", evidence, step=0)
        total = prediction.sum(axis)
        once = prediction.shape[axis] > 1 and bool((prediction >= 0).all()) and bool(((total - 1).abs() < 1e-3).all())
        if self._repeat(loss, "softmax", once, TIMES):
            evidence = f"all rows given to cross-entropy are positive and sum to 1, {TIMES} times"
            self.found(SOFTMAX_TWICE, "stop", evidence, step=max(0, self.run.step - TIMES + 1))

    def _log_probabilities(self, loss: Loss, prediction: Tensor, target: Tensor) -> None:
        axis = 1 if loss.name == "nll_loss" and prediction.ndim > 1 else -1
        positive = bool((prediction > 1e-4).any())
        if self._repeat(loss, "log", positive, TIMES):
            evidence = f"{loss.name} is given values up to {float(prediction.max()):.3g}; logarithms of probabilities"
            total = float(torch.logsumexp(prediction, axis).exp().mean())
            self.found(NOT_LOG_PROBABILITIES, "stop", f"{evidence} are at most 0, and these sum to {total:.3g}", step=0)

    def _binary(self, loss: Loss, prediction: Tensor, target: Tensor) -> None:
        low, high = float(target.min()), float(target.max())
        if self._repeat(loss, "range", low < -1e-4 or high > 1 + 1e-4, TIMES):
            evidence = f"targets of {loss.name} reach from {low:.3g} to {high:.3g}: it then has no lower bound"
            self.found(TARGET_RANGE, "stop", evidence, step=0)
        if self._repeat(loss, "sigmoid", loss.name.endswith("logits") and _from_sigmoid(loss.prediction), TIMES):
            evidence = f"the logits given to {loss.name} are the output of a sigmoid, {TIMES} times"
            self.found(SIGMOID_TWICE, "stop", evidence, step=0)

    def _regression(self, loss: Loss, prediction: Tensor, target: Tensor) -> None:
        if self._repeat(loss, "shape", prediction.shape != target.shape, TIMES):
            evidence = f"prediction {tuple(prediction.shape)}, target {tuple(target.shape)} in {loss.name}"
            self.found(BROADCAST, "stop", evidence, step=0)
        same = prediction.shape == target.shape and target.ndim == 2 and 2 <= target.shape[1] <= 1024
        share, column = 0.0, 0
        if same and rows(target) >= 4:
            error = (prediction - target).double().square().sum(0)
            spread = target.double().std(0)
            share, column = float(error.max() / error.sum()), int(error.argmax())
            same = float(spread[column]) > 30 * float(spread.median())
        if self._repeat(loss, "units", same and share > SHARE, LOOKS):
            evidence = f"column {column} of {target.shape[1]} holds {share:.4%} of the squared error"
            self.found(MIXED_UNITS, "warn", evidence, step=0)

    def _constant(self, loss: Loss, prediction: Tensor, target: Tensor) -> None:
        count = rows(prediction)
        if count < 4 or rows(target) != count or not prediction.is_floating_point():
            return
        spread = float((prediction - prediction[:1]).abs().max())
        size = float(prediction.abs().max())
        varies = bool((target != target[:1]).any())
        flat = varies and spread <= 1e-6 * size
        if self._repeat(loss, "constant", flat and self.run.step >= 4, LOOKS):
            evidence = f"the {count} predictions of a batch differ by {spread:.2g} at a size of {size:.3g}"
            self.found(CONSTANT_OUTPUT, "stop", f"{evidence}, in {LOOKS} looks; targets differ")
            return
        if flat and self._counts[loss.site, "constant"] == 1:
            self.run.look_until(self.run.step + LOOKS + 4)


def _from_sigmoid(prediction: Tensor) -> bool:
    """Whether the tensor is the output of a sigmoid, apart from its shape."""
    node: Any = prediction.grad_fn
    while node is not None and node.name() in _SHAPES:
        node = node.next_functions[0][0]
    return node is not None and node.name() == "SigmoidBackward0"
