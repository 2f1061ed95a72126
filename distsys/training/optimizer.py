"""The optimiser of a run and its schedule, and what of another run's optimiser can be taken over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from distsys.config.schema import OptimizerConfig


def learning_rate_factor(config: OptimizerConfig, steps: int, step: int) -> float:
    """Linear warm-up, then constant or half a cosine to 0 (Loshchilov and Hutter, arXiv 1608.03983)."""
    warmup = round(config.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def adamw(parameters: Sequence[nn.Parameter], settings: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW on ``parameters``, without decay for those that a model marked with ``no_weight_decay``."""
    kept = [item for item in parameters if getattr(item, "no_weight_decay", False)]
    others = [item for item in parameters if not getattr(item, "no_weight_decay", False)]
    groups: list[dict[str, Any]] = [{"params": others}, *([{"params": kept, "weight_decay": 0.0}] if kept else [])]
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )


def take_moments(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> bool:
    """Whether another run's moments fit the parameters, and were taken; this run's rates and decays stay."""
    own = optimizer.state_dict()["param_groups"]
    groups = [group["params"] for group in saved["param_groups"]]
    held = [item for group in optimizer.param_groups for item in group["params"]]
    moments = [saved["state"].get(index, {}).get("exp_avg") for group in groups for index in group]
    fits = groups == [group["params"] for group in own] and all(
        moment is None or moment.shape == item.shape for moment, item in zip(moments, held, strict=True)
    )
    if not fits or not saved["state"]:
        return False
    optimizer.load_state_dict({"state": saved["state"], "param_groups": own})
    return True
