"""Why a term stays at chance: did weights move, does a copy learn a few items without dropout, and with it?"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from distsys.health.causes import CANNOT_LEARN, DROPOUT, RATE_TOO_HIGH, RATE_TOO_LOW, UNRELATED_TARGETS, Cause
from distsys.health.check import View
from distsys.health.flight.movement import displacement
from distsys.health.verdict import Verdict

TermsWith = Callable[[nn.Module, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""(a copy of the model, batch) to loss terms, as a training step has them."""

STILL = 0.02
"""Displacement of the median weight matrix over its size, below which nothing moved."""
_HANDFULS, _STEPS, _RATES = (8, 32), 60, (3e-3, 3e-4)
"""The larger one where the smaller holds nothing that the term asks for, a pair of one label, say."""
_HIGH = 1e-2
"""Learning rate that a copy must learn at too, else it is too high; one at which nothing moved is tried as well."""
_LEARNED, _HALFWAY, _STUCK = 0.5, 0.25, 0.01
"""Of the way to the term's bound: more than the best constant gains on a handful; half of that; nothing."""
_LAST = 10
"""Steps that values under dropout are averaged over."""
_TINY = 1e-30
_FIXES = {
    RATE_TOO_HIGH: "lower optimizer.learning_rate, or set optimizer.grad_clip_norm",
    RATE_TOO_LOW: "raise optimizer.learning_rate, or train longer",
}
NOT_ASKED = Verdict("ok", "", "", 0)


class Battery:
    """Asked on that symptom, once a run; works on copies, with random states put back.

    Args:
        terms_with: forward pass and terms of a model that is not the run's.
    """

    def __init__(self, terms_with: TermsWith) -> None:
        self._terms_with = terms_with
        self._term, self._answer = "", NOT_ASKED

    def why(self, view: View, term: str = "") -> Verdict | None:
        """What keeps ``term``, or the weighted sum of all, at chance; None if it was asked of another term before.

        A verdict without a cause says what was tried.
        """
        if self._answer == NOT_ASKED:
            self._term, self._answer = term, self._asked(view, term)
        return self._answer if term == self._term or not (term and self._term) else None

    def state(self) -> dict[str, Any]:
        return {"term": self._term, "answer": self._answer.content()}

    def load(self, state: Mapping[str, Any]) -> None:
        self._term, self._answer = state["term"], Verdict(**state["answer"])

    def _asked(self, view: View, term: str) -> Verdict:
        moved = displacement(view)
        try:
            cause, text = Trial(view, term, self._terms_with).judged(is_still=moved < STILL)
        except Exception as error:  # of the domain's own code, in a place that it was not written for
            cause = RATE_TOO_LOW if moved < STILL else None
            text = f"a copy of the model could not be trained ({type(error).__name__})"
        if cause is RATE_TOO_LOW and term:  # without a term, that nothing moves is the symptom
            text = f"the median weight matrix has moved by {moved:.2%} of its size; {text}"
        if cause is None:
            return Verdict("warn", "", text, view.step)
        return cause.verdict("warn", text, step=view.step, fix=_FIXES.get(cause, ""))


def explained(symptom: Verdict, view: View, term: str = "", *, by_cause: bool = False) -> Verdict:
    """The symptom with what the battery makes of it.

    Args:
        by_cause: the verdict goes by the cause that was found, since nothing else is left to say of the run.
    """
    reason = view.battery.why(view, term) if view.battery is not None else None
    if reason is None:
        return symptom
    if by_cause and reason.cause:
        return replace(symptom, cause=reason.cause, evidence=f"{symptom.evidence}; {reason.evidence}", fix=reason.fix)
    named = f"{reason.cause}: {reason.evidence}" if reason.cause else reason.evidence
    return replace(symptom, evidence=f"{symptom.evidence}; {named}", fix=reason.fix or symptom.fix)


class Trial:
    """Copies of the model that are trained on a few items of the batch."""

    def __init__(self, view: View, term: str, terms_with: TermsWith) -> None:
        self._view, self._term, self._terms_with = view, term, terms_with
        self._batch: dict[str, Tensor] = {}
        self._count = 0

    def judged(self, *, is_still: bool) -> tuple[Cause | None, str]:
        """The cause, if there is one, and its evidence."""
        if not self._finds_items():
            return None, "no few items hold what the term asks for"
        usual, off = self._best_without_dropout()
        goal = f"{self._term}'s bound" if self._term else "the objective's bound"
        what = f"a copy on {self._count} items goes {off:.0%} of the way to {goal} in {_STEPS} steps"
        if off < _STUCK:
            return CANNOT_LEARN, what
        rate = self._view.update.scheduled_rate
        suspect = RATE_TOO_HIGH if rate > _HIGH else RATE_TOO_LOW if is_still else None
        if suspect and (own := self._gain(rate)) < min(_HALFWAY, off):
            return suspect, f"{what} at a rate of {usual:g}, {own:.0%} at {rate:.2g}"
        if off < _LEARNED:
            return None, what
        if not _has_dropout(self._view.model):
            return UNRELATED_TARGETS, f"{what}, all items together are not learned"
        on = self._gain(usual, is_noisy=True)
        if on < _HALFWAY:
            return DROPOUT, f"{what} without dropout, {on:.0%} with it"
        return UNRELATED_TARGETS, f"{what} ({on:.0%} with dropout), all items together are not learned"

    def _finds_items(self) -> bool:
        for count in _HANDFULS:
            self._batch = {name: value[:count] for name, value in self._view.batch.items()}
            self._count = len(next(iter(self._batch.values())))
            with self._twin(is_noisy=False) as twin, torch.no_grad():
                if self._way(float(self._total(twin))) > 0.0:
                    return True
        return False

    def _best_without_dropout(self) -> tuple[float, float]:
        """The first rate at which a copy moves at all, and how far it goes."""
        for rate in _RATES:
            if (gain := self._gain(rate)) >= _STUCK:
                break
        return rate, gain

    def _gain(self, rate: float, *, is_noisy: bool = False) -> float:
        """How far a copy goes, as a share of the way to the bound; ends as soon as that is enough."""
        values: list[float] = []
        with self._twin(is_noisy=is_noisy) as twin:
            for value in self._training(twin, rate):
                values.append(value)
                lowest = fmean(values[-_LAST:]) if is_noisy else min(values)
                if values[0] - lowest >= _LEARNED * self._way(values[0]):
                    break
        return (values[0] - lowest) / max(self._way(values[0]), _TINY) if values else 0.0

    @contextmanager
    def _twin(self, *, is_noisy: bool) -> Iterator[nn.Module]:
        """A copy with or without dropout; random states are put back."""
        devices = {item.device for item in self._view.model.parameters() if item.is_cuda}
        with torch.random.fork_rng(devices=list(devices)):
            twin = copy.deepcopy(self._view.model).train()
            if not is_noisy:
                _quieten(twin)
            yield twin

    def _training(self, twin: nn.Module, rate: float) -> Iterator[float]:
        """The value at each step, as long as it is finite and has a gradient."""
        optimizer = torch.optim.Adam([item for item in twin.parameters() if item.requires_grad], lr=rate)
        for _ in range(_STEPS):
            total = self._total(twin)
            if not total.requires_grad or not bool(torch.isfinite(total)):
                return
            yield float(total.detach())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()

    def _total(self, model: nn.Module) -> Tensor:
        terms = self._terms_with(model, self._batch)
        return torch.stack([terms[name].float() * weight for name, weight in self._weights().items()]).sum()

    def _way(self, first: float) -> float:
        """From the first value to the declared bound, where there is one."""
        specs, weights = self._view.term_specs, self._weights()
        bound = sum(specs[name].lower_bound * weight for name, weight in weights.items())
        return first - bound if math.isfinite(bound) else abs(first) + 1.0

    def _weights(self) -> dict[str, float]:
        if self._term:
            return {self._term: 1.0}
        return {name: weight for name, weight in self._view.weights.items() if weight > 0}


def _quieten(model: nn.Module) -> None:
    """Evaluation mode, but for recurrent layers, which cuDNN differentiates in training mode alone."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.train()
            module.dropout = 0.0


def _has_dropout(model: nn.Module) -> bool:
    return any(getattr(item, "p", 0.0) for item in model.modules() if "Drop" in type(item).__name__) or any(
        isinstance(rate := getattr(item, "dropout", 0.0), float) and rate > 0.0 for item in model.modules()
    )
