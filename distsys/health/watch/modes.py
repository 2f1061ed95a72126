"""Training in evaluation mode, and evaluation in training mode, where the mode makes a difference."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from distsys.health.causes import EVAL_LEFT_ON, TRAIN_LEFT_ON
from distsys.health.verdict import Verdict
from distsys.health.watch.check import Check
from distsys.health.watch.events import Call, Choice, Held, Loss
from distsys.health.watch.run import Run

STEPS = 20
STREAK = 2
_NORMS = nn.modules.batchnorm._BatchNorm


class Modes(Check):
    """Modes of the modules that dropout or batch statistics make depend on it."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._graded: Call | None = None
        self._evaluation: int = 0
        self._since = -1
        self._streak: list[Call] = []
        self._judged = 0
        self._kinds: dict[int, bool] = {}
        self._wrong = 0
        self._was_training = False

    def on_call(self, call: Call) -> None:
        if call.graded:
            if self.run.looking or id(call.module) not in self._kinds:
                self._kinds[id(call.module)] = _depends(call.module)
            self._graded = call if self._kinds[id(call.module)] else None
            return
        self._streak.append(call)
        self._streak = self._streak[-4:]

    def on_loss(self, loss: Loss) -> None:
        if not loss.graded:
            self._evaluated()

    def on_choice(self, choice: Choice) -> None:
        if choice.name == "argmax" and not choice.source.requires_grad:
            self._evaluated()

    def on_backward(self, loss: Tensor) -> None:
        self._streak = []

    def _evaluated(self) -> None:
        """A loss or an accuracy of something computed without gradient, several batches in a row."""
        if len(self._streak) < STREAK:
            return
        calls = [call for call in self._streak if _depends(call.module) and id(call.module) in self.run.calls]
        if len({id(call.first) for call in calls}) < STREAK:
            return
        self._judged += 1
        self._wrong += int(all(call.training for call in calls))

    def on_stepped(self, held: Held) -> None:
        call, self._graded = self._graded, None
        if call is None:
            return
        self._was_training = self._was_training or call.training
        if call.training:
            self._evaluation, self._since = 0, -1
        else:
            self._since = self.run.step if self._evaluation == 0 else self._since
            self._evaluation += 1
        if self._evaluation == STEPS:
            when = "left on after evaluation" if self._was_training else "from the first step"
            evidence = f"{STEPS} steps in a row without dropout and with fixed batch statistics, {when}"
            self.found(EVAL_LEFT_ON, "warn", evidence, step=self._since)

    def finish(self) -> Iterator[Verdict]:
        if self._wrong and self._wrong == self._judged:
            evidence = f"{self._wrong} evaluated batches went through dropout or moved batch statistics"
            yield TRAIN_LEFT_ON.verdict("warn", evidence, step=0)


def _depends(module: nn.Module) -> bool:
    """Whether the mode changes what ``module`` computes, apart from parts that are frozen one by one."""
    for item in module.modules():
        if isinstance(item, nn.modules.dropout._DropoutNd) and item.p > 0:
            return True
        counted = isinstance(item, _NORMS) and item.track_running_stats
        if counted and (item.weight is None or item.weight.requires_grad):
            return True
        if isinstance(item, nn.RNNBase) and item.dropout > 0:
            return True
    return False
