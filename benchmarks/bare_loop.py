"""What anyone would write by hand: fetch, forward, weighted sum, backward, clip, step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.registry import get_domain
from distsys.training.loop import Run
from distsys.training.spec import RunSpec


def bare_loop(
    run: Run, spec: RunSpec, fetch: Callable[[int], Batch], device: torch.device | None = None
) -> Callable[[], None]:
    """One step a call, with the model, terms, weights and optimiser of ``spec`` but nothing else of ours.

    Args:
        run: whose data's statistics the model takes.
        fetch: the batch of a step (from 0), on ``device``, which is the CPU when absent.
    """
    device = device or torch.device("cpu")
    domain, config = get_domain(spec.config.domain), spec.config
    model = domain.build_model(config, run.data.statistics).to(device)
    settings = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    generator = torch.Generator(device=device).manual_seed(0)
    weights = {term.name: spec.weights()[term.weight_name].at(1.0) for term in domain.terms}
    reduced = config.precision == "bfloat16"
    number = 0

    def step() -> None:
        nonlocal number
        batch = fetch(number)
        number += 1
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced):
            outputs = domain.forward(model, batch, generator=generator)
            terms = domain.loss_terms(outputs, batch, config=config)
        loss: Tensor = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        loss.backward()
        if settings.grad_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
