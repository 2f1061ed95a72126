"""The interface of a check: it overrides the events that it looks at, and tells what it found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from distsys.health.causes import Cause
from distsys.health.verdict import Status, Verdict
from distsys.health.watch.events import Call, Choice, Held, Loss

if TYPE_CHECKING:
    from distsys.health.watch.run import Run


class Check:
    """Does nothing at every event. Events of steps that are not looked at come too: ask ``run.looking``."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def found(self, cause: Cause, status: Status, evidence: str, *, step: int | None = None) -> None:
        """Note a verdict, once a cause."""
        onset = self.run.step if step is None else step
        self.run.found.setdefault(cause.name, cause.verdict(status, evidence, step=onset))

    def on_call(self, call: Call) -> None:
        """An outermost module was called."""

    def on_loss(self, loss: Loss) -> None:
        """A loss was computed."""

    def on_difference(self, site: str, prediction: Tensor, target: Tensor) -> None:
        """Outside of modules, what carries a gradient and what carries none were subtracted."""

    def on_choice(self, choice: Choice) -> None:
        """A softmax or argmax was taken."""

    def on_eigh(self, source: Tensor, values: Tensor, vectors: Tensor) -> None:
        """An eigendecomposition was computed."""

    def on_loader(self, loader: Any) -> None:
        """A DataLoader begins to be iterated over."""

    def on_backward(self, loss: Tensor) -> None:
        """Before backward."""

    def on_backward_done(self, loss: Tensor) -> None:
        """After backward."""

    def on_scale(self, scaler: Any, loss: Any) -> None:
        """An AMP scaler scales a loss."""

    def on_unscale(self, scaler: Any, optimizer: Optimizer) -> None:
        """An AMP scaler divides gradients by its scale."""

    def on_scaler_step(self, scaler: Any, optimizer: Optimizer) -> None:
        """An AMP scaler is about to step an optimiser, or to skip it."""

    def on_clip(self, parameters: list[Tensor]) -> None:
        """Gradients are about to be clipped."""

    def on_step(self, held: Held) -> None:
        """Before an optimiser's step."""

    def on_stepped(self, held: Held) -> None:
        """After an optimiser's step."""

    def on_schedule(self, scheduler: Any) -> None:
        """After a step of a schedule."""

    def finish(self) -> Iterator[Verdict]:
        """What is known only at the end."""
        yield from ()
