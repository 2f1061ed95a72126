"""Validation on a frozen set: the same numbers to the bit each time, all random states left alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distsys.config.schema import CoreConfig
from distsys.domains.protocol import AnyDomain, EvalSet, Evaluation
from distsys.errors import ConfigError, did_you_mean
from distsys.health.causes import NOT_FINITE
from distsys.health.verdict import Constraint, Verdict, is_sick
from distsys.training.answers import require_evaluation
from distsys.training.judge import Judge
from distsys.training.objective import Objective


@dataclass(frozen=True)
class Validation:
    """What one validation found.

    Args:
        step: optimiser steps done.
        loss: weighted objective on the validation set.
        metrics: the domain's metrics.
        terms: each loss term, raw, on the validation set.
        weights: ``lambda_<term>`` in force.
        gradient_shares: each term's share of the gradient norm on the last training batch.
        items: the selection metric of each item.
        verdicts: what is wrong with it; empty when healthy.
        distance: how far it is from its bands in all, 0 within them.
        extra: learning rate, gradient norm, speed and the like.
        is_lost: whether going on from here is pointless: a check in flight says stop, or a value is not finite.
    """

    step: int
    loss: float
    metrics: Mapping[str, float]
    terms: Mapping[str, float]
    weights: Mapping[str, float]
    gradient_shares: Mapping[str, float]
    items: Sequence[float]
    verdicts: Sequence[Verdict]
    distance: float = 0.0
    extra: Mapping[str, float] = field(default_factory=dict)
    is_lost: bool = False

    @property
    def healthy(self) -> bool:
        return not is_sick(self.verdicts)

    @property
    def is_finite(self) -> bool:
        """Whether there is anything to go on from."""
        return all(verdict.status != "stop" or verdict.cause != NOT_FINITE.name for verdict in self.verdicts)

    def flat(self) -> dict[str, float]:
        """Everything under the names that trackers use."""
        terms = {f"term/{name}": value for name, value in self.terms.items()}
        shares = {f"gradient_share/{name}": value for name, value in self.gradient_shares.items()}
        summary = {"loss": self.loss, "healthy": float(self.healthy)}
        return {**self.metrics, **self.weights, **terms, **shares, **self.extra, **summary}


@contextmanager
def undisturbed(model: nn.Module, *, seed: int) -> Iterator[None]:
    """Evaluation mode without gradients from a fixed seed; modes and random states are put back."""
    was_training = model.training
    states: tuple[Any, Any] = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)
            random.setstate(states[0])
            np.random.set_state(states[1])


def evaluate(domain: AnyDomain, model: nn.Module, data: EvalSet, *, constraints: Sequence[Constraint]) -> Evaluation:
    """The domain's metrics of ``model`` on ``data``.

    Raises:
        ConfigError: a metric that selects or constrains is not among them, or they are no plain numbers.
    """
    with undisturbed(model, seed=0):
        result = domain.evaluate(model, data)
    require_evaluation(domain, result)
    ties = [domain.selection.ties_by.name] if domain.selection.ties_by else []
    for metric in (domain.selection.name, *ties, *(item.metric for item in constraints)):
        if metric not in result.metrics:
            raise ConfigError(
                f"'{metric}' is not a metric of '{domain.name}'",
                expected="a metric that its evaluation yields",
                fix=did_you_mean(metric, result.metrics),
            )
    return result


def mean_terms(
    domain: AnyDomain, model: nn.Module, data: EvalSet, *, config: CoreConfig, seed: int
) -> dict[str, Tensor]:
    """Each loss term on ``data``, weighted by the items of its batches."""
    device = next(model.parameters()).device
    sums: dict[str, Tensor] = {}
    count = 0
    with undisturbed(model, seed=seed):
        generator = torch.Generator(device=device).manual_seed(seed)
        for batch in data.batches:
            items = len(next(iter(batch.values())))
            outputs = domain.forward(model, batch, generator=generator)
            for name, value in domain.loss_terms(outputs, batch, config=config).items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.float() * items
            count += items
    return {name: value / count for name, value in sums.items()}


def validate(
    domain: AnyDomain,
    model: nn.Module,
    data: EvalSet,
    *,
    config: CoreConfig,
    objective: Objective,
    judge: Judge,
    step: int,
    progress: float,
) -> Validation:
    """Metrics, terms and verdicts of ``model`` at one moment of a run."""
    evaluation = evaluate(domain, model, data, constraints=judge.constraints)
    terms = mean_terms(domain, model, data, config=config, seed=0)
    loss = float(objective.total(terms, progress))
    return Validation(
        step=step,
        loss=loss,
        metrics=dict(evaluation.metrics),
        terms={name: float(value) for name, value in terms.items()},
        weights=objective.weights(progress),
        gradient_shares={},
        items=[float(value) for value in evaluation.items],
        verdicts=judge.verdicts(evaluation, step=step, loss=loss),
        distance=judge.distance(evaluation),
        extra={"noise_floor": evaluation.noise_floor()},
    )
