"""Defects of what stands around the model: selection, evaluation, resume, steps, schedule, sampling (D8, D9, ...)."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.health.altered import altered, with_terms
from benchmarks.health.injections import GROUND, SPEECH, WORDS, add
from distsys.domains.ground_motion.data.operators import highpart
from distsys.domains.ground_motion.model import diffusing, preconditioning
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.ground_motion.model.samplers import sampling_grid
from distsys.domains.protocol import AnyDomain, EvalSet, Evaluation, MetricSpec
from distsys.health.causes import NOISY_EVALUATION
from distsys.training.step import Stepper

_DIFFUSED = ("model.route=envelope",)


def _unguarded(kept: float) -> Callable[[ExitStack], None]:
    """Samples hold only ``kept`` of what they were given below 1 Hz."""
    sample = Member.sample

    def loose(self: Member, given: Tensor, *args: Any, **named: Any) -> Tensor:
        drawn = sample(self, given, *args, **named)
        return highpart(drawn) + kept * (drawn - highpart(drawn))

    return lambda stack: _patch(stack, Member, "sample", loose)


def _other_levels(factor: float) -> Callable[[ExitStack], None]:
    grid = sampling_grid
    return lambda stack: _patch(stack, diffusing, "sampling_grid", lambda *a, **k: factor * grid(*a, **k))


def _narrow_training(factor: float) -> Callable[[ExitStack], None]:
    levels = preconditioning.training_levels

    def narrow(*args: Any, **named: Any) -> Tensor:
        drawn = levels(*args, **named)
        return drawn.clamp(max=float(drawn.median()) * factor)

    return lambda stack: _patch(stack, preconditioning, "training_levels", narrow)


def _patch(stack: ExitStack, owner: Any, name: str, other: Any) -> None:
    stack.enter_context(mock.patch.object(owner, name, other))


def _wrong_way(domain: AnyDomain) -> AnyDomain:
    """Checkpoints are chosen by the metric's worse end."""
    spec = domain.selection
    return altered(domain, selection=replace(spec, direction="max" if spec.direction == "min" else "min"))


def _by_another(name: str, direction: Any, unit: str) -> Callable[[AnyDomain], AnyDomain]:
    """Checkpoints are chosen by a metric that does not say what the task asks."""

    def evaluate(original: Any, model: nn.Module, data: EvalSet) -> Evaluation:
        found: Evaluation = original(model, data)
        return replace(found, items=found.items[:0])

    return lambda domain: altered(domain, selection=MetricSpec(name, direction, unit), evaluate=evaluate)


def _noisy(share: float) -> Callable[[AnyDomain], AnyDomain]:
    """Every evaluation draws from a source that nobody seeds."""
    source = random.SystemRandom()

    def evaluate(original: Any, model: nn.Module, data: EvalSet) -> Evaluation:
        found: Evaluation = original(model, data)
        metrics = {name: value * (1.0 + share * source.gauss(0.0, 1.0)) for name, value in found.metrics.items()}
        return replace(found, metrics=metrics)

    return lambda domain: altered(domain, evaluate=evaluate)


def _asserting(original: Any, model: nn.Module, data: EvalSet) -> Evaluation:
    raise AssertionError("gradients are expected here")


def _asserting_in_evaluation(original: Any, model: nn.Module, batch: Any, *, generator: Any) -> Any:
    assert model.training, "evaluation mode is not expected here"
    return original(model, batch, generator=generator)


def _unscaled_late(scale: float) -> Callable[[ExitStack], None]:
    """Gradients are divided by the loss scale once more, after clipping."""
    clip = Stepper._clip

    def late(self: Stepper, norm: float) -> None:
        clip(self, norm)
        torch._foreach_div_([item.grad for item in self._parameters if item.grad is not None], scale)

    return lambda stack: _patch(stack, Stepper, "_clip", late)


def _clipped_early(scale: float) -> Callable[[ExitStack], None]:
    """The limit is held against gradients that are still multiplied by the loss scale."""
    clip = Stepper._clip
    return lambda stack: _patch(stack, Stepper, "_clip", lambda self, norm: clip(self, norm * scale))


def _rate_at(position: Callable[[int], int]) -> Callable[[ExitStack], None]:
    other = property(lambda self: self._rate_after(position(self._stepped)))
    return lambda stack: _patch(stack, Stepper, "learning_rate", other)


def _other_loss(domain: AnyDomain) -> AnyDomain:
    return with_terms(domain, lambda terms, outputs, batch: {name: 3.0 * value for name, value in terms.items()})


_KEPT = ("low_frequency_error outside its band", "envelope_correlation outside its band")
for kept in (0.0, 0.5, 0.9):
    add("D8", f"samples keep {kept:g} below 1 Hz", _unguarded(kept), domains=(GROUND,), is_patch=True, also=_KEPT)
for factor in (30.0, 1e-3):
    add(
        "D9", f"sampling levels times {factor:g}", _other_levels(factor),
        domains=(GROUND,), settings=_DIFFUSED, is_patch=True,
    )  # fmt: skip
add(
    "D9", "training levels below their median", _narrow_training(1.0),
    domains=(GROUND,), settings=_DIFFUSED, is_patch=True,
)  # fmt: skip
_OFTEN = ("final.eval_every_steps=10",)
add("D14", "the metric's worse end is chosen", _wrong_way, settings=_OFTEN)
add(
    "D14",
    "the most active units are chosen",
    _by_another("active_units", "max", "1"),
    domains=(WORDS,),
    settings=_OFTEN,
)
add("D14", "the largest rms_ratio is chosen", _by_another("rms_ratio", "max", "1"), domains=(SPEECH,), settings=_OFTEN)
for share in (0.1, 1e-4):
    add("D16", f"evaluation varies by {share:g}", _noisy(share), also=(NOISY_EVALUATION.name,))
add("D17", "resumed after a loss three times as large", _other_loss, earlier=50)
add("D19", "an assertion in evaluation", lambda it: altered(it, evaluate=_asserting))
add("D19", "an assertion on the mode", lambda it: altered(it, forward=_asserting_in_evaluation))
for scale in (65536.0, 16.0, 1.5):
    add("D20", f"unscaled twice, by {scale:g}", _unscaled_late(scale), is_patch=True)
for scale in (65536.0, 16.0):
    add("D20", f"clipped before unscaling, by {scale:g}", _clipped_early(scale), is_patch=True)
add("D21", "the schedule a step ahead", _rate_at(lambda taken: taken + 1), is_patch=True)
add("D21", "the schedule eight steps a step", _rate_at(lambda taken: 8 * taken), is_patch=True)
add("D21", "the schedule never moves", _rate_at(lambda taken: 0), is_patch=True)
