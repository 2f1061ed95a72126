"""The best constant prediction for the targets that a loss has seen: what it costs is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distsys.health.watch.events import Loss

LARGEST = 4096
"""Entries of an item beyond which no constant is sought."""


@dataclass(frozen=True)
class Constant:
    """A prediction for one item; ``bias`` is what fitting it to these targets flatters it by (Miller-Madow)."""

    item: Tensor
    bias: float

    @classmethod
    def of(cls, losses: list[Loss]) -> Self | None:
        """The best one, or None where the kind of loss or of targets has none."""
        try:
            return cls._classes(losses) if losses[0].name in ("cross_entropy", "nll_loss") else cls._values(losses)
        except (RuntimeError, ValueError, IndexError):
            return None

    @classmethod
    def _classes(cls, losses: list[Loss]) -> Self | None:
        shape = losses[0].shape
        classes = shape[1] if len(shape) > 1 else shape[0]
        if losses[0].target.is_floating_point():
            shares = torch.cat([loss.target.float() for loss in losses]).movedim(1, -1).reshape(-1, classes).mean(0)
            return cls((shares + 1e-9).log(), 0.0)
        targets = torch.cat([loss.target.reshape(-1) for loss in losses])
        targets = targets[(targets >= 0) & (targets < classes)]
        if not len(targets):
            return None
        counts = targets.bincount(minlength=classes).double()
        seen = int((counts > 0).sum())
        return cls(((counts + 1e-6) / counts.sum()).log().float(), (seen - 1) / (2 * len(targets)))

    @classmethod
    def _values(cls, losses: list[Loss]) -> Self | None:
        width = losses[0].target.shape[1:]
        if width.numel() > LARGEST or any(loss.target.shape[1:] != width or not loss.target.ndim for loss in losses):
            return None
        targets = torch.cat([loss.target.float() for loss in losses])
        name = losses[0].name
        if name == "l1_loss":
            return cls(targets.median(0).values, 0.0)
        mean = targets.mean(0)
        if name.startswith("binary"):
            mean = mean.clamp(1e-6, 1 - 1e-6)
            return cls(torch.logit(mean) if name.endswith("logits") else mean, 0.0)
        return cls((mean + 1e-9).log() if name == "kl_div" else mean, 0.0)

    def value(self, loss: Loss) -> float:
        """What the same loss gives it for the same targets."""
        return float(loss.again(self.like(loss.shape), loss.target)) + self.bias

    def like(self, shape: tuple[int, ...]) -> Tensor:
        """It as a prediction of ``shape``."""
        if self.item.ndim == 1 and len(shape) > 1 and shape[1] == len(self.item):
            return self.item.reshape(1, -1, *[1] * (len(shape) - 2)).expand(shape)
        return self.item.expand(shape) if self.item.ndim < len(shape) else self.item.reshape(shape)
