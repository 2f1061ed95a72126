"""Four real steps by the real stepper, each with the gradient it should have used beside the one it did."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from distsys.domains.protocol import AnyDomain, Batch, to_device
from distsys.health.probes.patient import Rehearsal, StepFacts
from distsys.training.data import built_data
from distsys.training.objective import Objective
from distsys.training.optimizer import learning_rate_factor
from distsys.training.spec import RunSpec
from distsys.training.step import Stepper
from distsys.training.workers import Workers

STEPS = 4
"""What zero-initialised heads need before all that stands behind them has a gradient."""


def rehearse(domain: AnyDomain, model: nn.Module, spec: RunSpec, *, num_items: int, device: torch.device) -> Rehearsal:
    """``model`` moved by the first steps of ``spec``, on ``num_items`` items each."""
    objective = Objective(domain.terms, spec.weights())
    stepper = Stepper(domain, model, objective, config=spec.config, steps=spec.steps, workers=Workers(device))
    noted = _Noted(stepper, model)
    source = built_data(domain, spec.config).train
    for step in range(min(STEPS, spec.steps)):
        progress = step / spec.steps
        indices = range(step * num_items, (step + 1) * num_items)
        batch = to_device(source.batch(indices, progress=progress), device)
        noted.own_norm = _own_norm(stepper, objective, model, batch, progress, seed=step)
        noted.expected_rate = spec.config.optimizer.learning_rate * learning_rate_factor(
            spec.config.optimizer, spec.steps, len(noted.steps)
        )
        if not math.isfinite(noted.own_norm):
            noted.steps.append(StepFacts(noted.own_norm, noted.own_norm, 0.0, 0.0))
            break  # the stepper would skip it; what is not finite is judged by itself
        stepper.step(batch, progress=progress, seed=step)
    return Rehearsal(model, noted.steps, noted.reached)


class _Noted:
    """What the optimiser holds at the moment at which it steps."""

    def __init__(self, stepper: Stepper, model: nn.Module) -> None:
        self.steps: list[StepFacts] = []
        self.reached = {name: 0 for name, item in model.named_parameters() if item.requires_grad}
        self.own_norm = self.expected_rate = 0.0
        self._named = {name: item for name, item in model.named_parameters() if item.requires_grad}
        stepper._optimizer.register_step_pre_hook(self._note)

    def _note(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        gradients = {name: item.grad for name, item in self._named.items() if item.grad is not None}
        for name, gradient in gradients.items():
            self.reached[name] += int(bool((gradient != 0).any()))
        used = float(torch.nn.utils.get_total_norm(list(gradients.values()))) if gradients else 0.0
        rate = float(optimizer.param_groups[0]["lr"])
        self.steps.append(StepFacts(self.own_norm, used, rate, self.expected_rate))


def _own_norm(
    stepper: Stepper, objective: Objective, model: nn.Module, batch: Batch, progress: float, *, seed: int
) -> float:
    """Norm of the gradient of ``batch``, which leaves no trace on the parameters."""
    parameters = [item for item in model.parameters() if item.requires_grad]
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    _, terms = stepper._forward(batch, seed=seed)
    total = objective.total(terms, progress)
    found = torch.autograd.grad(total, parameters, allow_unused=True) if total.requires_grad else ()
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    present = [item for item in found if item is not None]
    return float(torch.nn.utils.get_total_norm(present)) if present else 0.0
