"""Losses against chance, which comes from the targets that they have seen; one at chance calls the battery."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

import torch
from torch import Tensor

from distsys.health.causes import AT_CHANCE, LEARNED_BY_HEART, NOTHING_LEARNED
from distsys.health.verdict import Verdict
from distsys.health.watch.battery import Battery
from distsys.health.watch.check import Check
from distsys.health.watch.constant import Constant
from distsys.health.watch.events import Call, Loss
from distsys.health.watch.movement import Movement
from distsys.health.watch.run import Run

MIN_CALLS, KEPT, LARGEST = 60, 120, 65536
"""Calls before a verdict; the last calls that are kept; entries of a target beyond which only values are kept."""
ERRORS = 3.0
CLEARLY = 0.1
"""Of chance: a loss this far below it was learned at some time, in this run or before it."""


@dataclass
class Site:
    """What one place in the user's code gave one loss: the last pairs of value and target, and one call to replay."""

    name: str
    calls: int = 0
    losses: list[Loss] = field(default_factory=list)
    call: Call | None = None

    def add(self, loss: Loss) -> None:
        """Keep what is needed of one call: no graph, and of the target a copy."""
        self.calls += 1
        loss.target = loss.target.detach().clone()
        loss.value, loss.prediction = loss.value.detach(), loss.prediction.detach()
        self.losses.append(loss)
        if len(self.losses) > KEPT:
            self.losses = self.losses[-KEPT:]


class Chance(Check):
    """At the end: is the loss of the last third no better than the best constant, by three standard errors?"""

    def __init__(self, run: Run, movement: Movement) -> None:
        super().__init__(run)
        self._sites: dict[str, Site] = {}
        self._tests: dict[str, Site] = {}
        self._bootstrapped = 0
        self._movement = movement
        self._totals: list[Tensor] = []

    def on_call(self, call: Call) -> None:
        if not torch.is_grad_enabled() and id(call.module) in self.run.calls:
            self._bootstrapped += 1

    def on_loss(self, loss: Loss) -> None:
        if loss.reduction not in ("mean", "sum") or loss.target.numel() > LARGEST or loss.value.ndim:
            return
        if loss.target.requires_grad:
            return
        place = self._sites if loss.graded else self._tests
        key = f"{loss.name} {loss.site} {tuple(loss.prediction.shape[1:])}"
        site = place.setdefault(key, Site(loss.name))
        if loss.graded:
            calls = list(self.run.calls.values())
            site.call = next((call for call in reversed(calls) if call.output is not None), site.call)
        keep = loss.prediction.ndim == 2 and loss.prediction.numel() <= LARGEST // 4
        site.add(_light(loss, keep))

    def on_backward(self, loss: Tensor) -> None:
        if loss.numel() == 1:
            self._totals.append(loss.detach().reshape(()))
            if len(self._totals) > 2 * KEPT:
                self._totals = self._totals[:KEPT] + self._totals[-KEPT:]

    def finish(self) -> Iterator[Verdict]:
        if any(verdict.status == "stop" for verdict in self.run.found.values()):
            return  # what was found explains it
        judged = False
        for site in self._sites.values():
            recent = site.losses[-max(MIN_CALLS // 2, len(site.losses) // 3) :]
            constant = Constant.of(site.losses)
            if site.calls < MIN_CALLS or constant is None or self._unfit(site):
                continue
            better, error = _against(recent, constant)
            if better < ERRORS * error or not math.isfinite(better):
                yield self._why(site, recent, constant, better, error)
                return
            level = better + fmean(float(loss.value) for loss in recent)
            judged = judged or better > CLEARLY * abs(level)
        yield from self._by_heart()
        if not judged:
            yield from self._flat()

    def _unfit(self, site: Site) -> bool:
        """Games of two optimisers, and targets that a network made, have no chance level."""
        if len(self.run.held) > 1 and site.name.startswith("binary"):
            return True
        if all(bool((loss.target == loss.target.reshape(-1)[0]).all()) for loss in site.losses[-12:]):
            return True
        return self._bootstrapped > self.run.step / 2 and site.name not in ("cross_entropy", "nll_loss")

    def _why(self, site: Site, recent: list[Loss], constant: Constant, better: float, error: float) -> Verdict:
        mean = fmean(float(loss.value) for loss in recent)
        level = mean + better
        symptom = (
            f"{site.name} is {mean:.4g} over the last {len(recent)} calls, the best constant {level:.4g} "
            f"(standard error {error:.2g})"
        )
        cause, evidence = Battery(self.run, self._movement).why(site.call, recent[-1], constant)
        return (cause or AT_CHANCE).verdict("warn", f"{symptom}; {evidence}" if evidence else symptom, step=0)

    def _by_heart(self) -> Iterator[Verdict]:
        """Classes: the training pairs are known, those without gradient are guessed no better than the commonest."""
        train = [loss for site in self._sites.values() for loss in site.losses if site.name == "cross_entropy"]
        test = [loss for site in self._tests.values() for loss in site.losses[-KEPT // 2 :]]
        test = [loss for loss in test if loss.name == "cross_entropy"]
        known, seen = _accuracy(train[-30:]), _accuracy(test)
        if known is None or seen is None or seen[2] < 64 or self.run.step < MIN_CALLS:
            return
        error = math.sqrt(max(seen[1] * (1 - seen[1]), 1e-9) / seen[2])
        if known[0] > 0.5 * (1 + known[1]) and seen[0] < seen[1] + ERRORS * error:
            evidence = (
                f"{known[0]:.1%} of training items are right, {seen[0]:.1%} of {seen[2]} without gradient; "
                f"the commonest class is {seen[1]:.1%}"
            )
            yield LEARNED_BY_HEART.verdict("warn", evidence, step=0)

    def _flat(self) -> Iterator[Verdict]:
        """Without a known chance level: no drop of the total loss and no movement either."""
        totals = [float(item) for item in self._totals]
        if len(totals) < MIN_CALLS or len(self.run.held) != 1 or not all(map(math.isfinite, totals)):
            return
        part = len(totals) // 3
        first, last = totals[:part], totals[-part:]
        error = math.sqrt(stdev(first) ** 2 / part + stdev(last) ** 2 / part)
        moved = self._movement.displacement()
        if fmean(first) - fmean(last) < ERRORS * error and moved < Battery.MOVED:
            evidence = (
                f"the loss went from {fmean(first):.4g} to {fmean(last):.4g}, the median matrix moved {moved:.2%}"
            )
            yield NOTHING_LEARNED.verdict("warn", evidence, step=0)


def _light(loss: Loss, keep: bool) -> Loss:
    prediction = loss.prediction if keep else loss.prediction[:0]
    return replace(loss, prediction=prediction, shape=tuple(loss.prediction.shape))


def _against(losses: list[Loss], constant: Constant) -> tuple[float, float]:
    """How much better than the constant, paired call by call, and the standard error of that."""
    gains = [constant.value(loss) - float(loss.value) for loss in losses]
    if not all(map(math.isfinite, gains)):
        return float("nan"), 0.0
    return fmean(gains), stdev(gains) / math.sqrt(len(gains)) + 1e-12


def _accuracy(losses: list[Loss]) -> tuple[float, float, int] | None:
    """Share right, share of the commonest class, and the number of items."""
    usable = [loss for loss in losses if loss.prediction.ndim == 2 and loss.target.ndim == 1 and len(loss.prediction)]
    if not usable:
        return None
    right = torch.cat([loss.prediction.argmax(1) == loss.target for loss in usable])
    targets = torch.cat([loss.target for loss in usable])
    return float(right.float().mean()), float(targets.clamp_min(0).bincount().max() / len(targets)), len(targets)
