"""One optimiser step, in one fixed order; a step with a non-finite gradient is skipped and counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from distsys.config.schema import CoreConfig, OptimizerConfig
from distsys.domains.protocol import AnyDomain, Batch, Outputs
from distsys.errors import StoppedByHealth
from distsys.health.monitor import Monitor
from distsys.health.trouble import Trouble, diagnose
from distsys.training.objective import Objective
from distsys.training.workers import Workers

_FEW = 3
"""Skipped steps that are never held against a run, however short."""


class Terms(nn.Module):
    """A model seen as its loss terms, so that data-parallel wrapping needs nothing of the domain."""

    def __init__(self, domain: AnyDomain, model: nn.Module, config: CoreConfig) -> None:
        super().__init__()
        self.model = model
        self._domain, self._config = domain, config

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Outputs, Mapping[str, Tensor]]:
        """What the model makes of ``batch``, and the terms of that."""
        outputs = self._domain.forward(self.model, batch, generator=generator)
        return outputs, self.terms_of(outputs, batch)

    def terms_of(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Each loss term, unweighted."""
        return dict(self._domain.loss_terms(outputs, batch, config=self._config))


def seed_globally(seed: int, device: torch.device) -> None:
    """Seed torch's own generator of ``device``; torch.manual_seed would spend 1.5 ms on devices that are not there."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def learning_rate_factor(config: OptimizerConfig, steps: int, step: int) -> float:
    """Linear warm-up, then constant or half a cosine to 0 (Loshchilov and Hutter, arXiv 1608.03983)."""
    warmup = round(config.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _decay_groups(parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """Parameters that a model marked with ``no_weight_decay`` apart from the others."""
    kept = [item for item in parameters if getattr(item, "no_weight_decay", False)]
    others = [item for item in parameters if not getattr(item, "no_weight_decay", False)]
    return [{"params": others}, *([{"params": kept, "weight_decay": 0.0}] if kept else [])]


class Stepper:
    """Model, optimiser, schedule and average of one run, moved on one batch at a time."""

    def __init__(
        self,
        domain: AnyDomain,
        model: nn.Module,
        objective: Objective,
        *,
        config: CoreConfig,
        steps: int,
        workers: Workers,
        due_every: int | None = None,
    ) -> None:
        self.model, self._objective, self._workers, self._config = model, objective, workers, config
        self._domain, self._bare = domain, Terms(domain, model, config)
        self._terms = workers.wrap(self._bare)
        self._parameters = [item for item in model.parameters() if item.requires_grad]
        settings = config.optimizer
        self._optimizer = torch.optim.AdamW(
            _decay_groups(self._parameters),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        decay = settings.ema_decay
        self._average = decay and AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self._steps, self._stepped = steps, 0
        reset_at = settings.reset_moments_at
        self._reset_step = None if reset_at is None else math.ceil(reset_at * steps)
        self._budget = max(_FEW, math.ceil(settings.max_skipped_share * steps))
        self._generator = torch.Generator(device=workers.device)
        self.skipped = 0
        self._last: tuple[Tensor, float]
        self.monitor = Monitor(
            config.health,
            terms=domain.terms,
            fields=domain.fields,
            steps=steps,
            due_every=due_every or steps,
            terms_of=self._bare.terms_of,
            terms_with=self._terms_with,
            gather=None if workers.world_size == 1 else workers.gather,
        )
        self.monitor.attach(model, self._optimizer)

    @property
    def evaluated(self) -> nn.Module:
        """The model that validation looks at and checkpoints offer."""
        return self._average.module if self._average else self.model

    @property
    def learning_rate(self) -> float:
        """Of the next step; it moves only with steps that were really taken."""
        return self._rate_after(self._stepped)

    def _rate_after(self, taken: int) -> float:
        settings = self._config.optimizer
        return settings.learning_rate * learning_rate_factor(settings, self._steps, taken)

    def step(self, batch: Batch, *, progress: float, seed: int) -> None:
        """Forward, terms, weights, backward, finite check, clip, update, schedule, average; health looks on.

        Raises:
            StoppedByHealth: more steps were skipped than the config allows.
        """
        done = round(progress * self._steps)
        if done == self._reset_step:
            self.forget_moments()
        look = self.monitor.begin(done + 1)
        with look or nullcontext():
            outputs, terms = self._forward(batch, seed=seed)
        if look:
            weights = self._objective.term_weights(progress)
            self.monitor.saw(look, done + 1, batch=batch, outputs=outputs, terms=terms, weights=weights)
        total = self._objective.total(terms, progress)
        total.backward()
        if look:
            look.took_gradients()
        norm = self._norm(total)
        is_finite = self._workers.all_finite(norm)
        if is_finite:
            self._clip(norm)
            self._update()
        else:
            self._skip(batch, terms, progress=progress, seed=seed)
        if look:
            limit = self._config.optimizer.grad_clip_norm
            self.monitor.end(look, done + 1, is_taken=is_finite, limit=limit, rate_after=self._rate_after)
        self._optimizer.zero_grad(set_to_none=True)
        self._last = total.detach(), norm

    def _update(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate
        self._optimizer.step()
        self._stepped += 1
        if self._average:
            self._average.update_parameters(self.model)

    def forget_moments(self) -> None:
        """The optimiser begins anew; weights, their average and the schedule stay."""
        self._optimizer.state.clear()

    def gradient_shares(self, batch: Batch, *, progress: float, seed: int) -> dict[str, float]:
        """Each term's share of the gradient norm on ``batch``; changes nothing."""
        with torch.random.fork_rng(devices=[]):
            _, terms = self._forward(batch, seed=seed, module=self._bare)
            return self._objective.gradient_shares(terms, self._parameters, progress)

    def readings(self) -> dict[str, float]:
        """Learning rate, gradient norm and loss of the last step, and skipped steps so far."""
        loss, norm = self._last
        return {
            "train_loss": float(loss),
            "grad_norm": norm,
            "learning_rate": self.learning_rate,
            "skipped_steps": float(self.skipped),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on from here."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "stepped": self._stepped,
            "average": self._average.state_dict() if self._average else {},
            "skipped": self.skipped,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.model.load_state_dict(state["model"])
        if self._average:
            self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._optimizer.zero_grad(set_to_none=True)
        self._stepped = state["stepped"]
        self.skipped = state["skipped"]

    def begin_from(self, evaluated: Mapping[str, Tensor], state: Mapping[str, Any] | None) -> str:
        """Take the weights of another run, and of its ``state`` what fits; gives in words what was taken and what not.

        Args:
            evaluated: the weights that were validated. Raw ones are taken with their average alone.
            state: what :meth:`state` gave there; None leaves it, for fresh moments.
        """
        self.model.load_state_dict(dict(evaluated))
        if self._average:
            self._average.module.load_state_dict(dict(evaluated))
        if state is None:
            return "weights taken over; not moments and schedule"
        taken: list[str] = ["weights"]
        left: list[str] = []
        if self._average and state["average"]:
            self.model.load_state_dict(state["model"])
            self._average.load_state_dict(state["average"])
            taken.append("their average")
        has_moments = self._take_moments(state["optimizer"])
        (taken if has_moments else left).append("moments")
        if has_moments and self._config.optimizer.schedule == "constant":
            self._stepped = state["stepped"]
            self.monitor.goes_on_after(self._stepped)
            taken.append(f"the schedule's {self._stepped} steps")
        else:
            left.append("schedule, which is this run's own")
        return f"{', '.join(taken)} taken over; not {', '.join(left) or 'its place in the data'}"

    def _take_moments(self, saved: Mapping[str, Any]) -> bool:
        """Whether another run's moments fit the parameters; this run's rates and decays stay."""
        own = self._optimizer.state_dict()["param_groups"]
        groups = [group["params"] for group in saved["param_groups"]]
        held = [item for group in self._optimizer.param_groups for item in group["params"]]
        moments = [saved["state"].get(index, {}).get("exp_avg") for group in groups for index in group]
        fits = groups == [group["params"] for group in own] and all(
            moment is None or moment.shape == item.shape for moment, item in zip(moments, held, strict=True)
        )
        if not fits or not saved["state"]:
            return False
        self._optimizer.load_state_dict({"state": saved["state"], "param_groups": own})
        return True

    def _forward(
        self, batch: Batch, *, seed: int, module: nn.Module | None = None
    ) -> tuple[Outputs, Mapping[str, Tensor]]:
        seed_globally(seed, self._workers.device)  # dropout and the like: no random state has to survive a crash
        self._generator.manual_seed(seed)
        with self._autocast():
            found: tuple[Outputs, Mapping[str, Tensor]] = (module or self._terms)(batch, self._generator)
        return found

    def _autocast(self) -> torch.autocast:
        reduced = self._config.precision == "bfloat16"
        return torch.autocast(self._workers.device.type, dtype=torch.bfloat16, enabled=reduced)

    def _terms_with(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Terms of another model, always with the same draws."""
        generator = torch.Generator(device=self._workers.device).manual_seed(0)
        with self._autocast():
            return Terms(self._domain, model, self._config)(batch, generator)[1]

    def _norm(self, total: Tensor) -> float:
        """Norm of the whole gradient; not finite when the loss is not. The step's one wait for the device."""
        gradients = [item.grad for item in self._parameters if item.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients, foreach=True) + 0.0 * total.detach())

    def _clip(self, norm: float) -> None:
        limit = self._config.optimizer.grad_clip_norm
        if limit is not None and norm > limit:
            gradients = [item.grad for item in self._parameters if item.grad is not None]
            torch._foreach_mul_(gradients, limit / norm)

    def _skip(self, batch: Batch, terms: Mapping[str, Tensor], *, progress: float, seed: int) -> None:
        self.skipped += 1
        is_over = self.skipped > self._budget
        broken = [name for name, value in terms.items() if not bool(torch.isfinite(value))]
        if not is_over:
            self.monitor.skipped(round(progress * self._steps) + 1, count=self.skipped, broken=broken)
            return
        if self.monitor.is_on:
            self.monitor.trouble = self._diagnosed(batch, progress=progress, seed=seed)
        named = dict(self.model.named_parameters())
        hit = [
            name for name, item in named.items() if item.grad is not None and not bool(torch.isfinite(item.grad).all())
        ]
        where = "; ".join(text for text in self._workers.gather(self.monitor.trouble.text) if text)
        raise StoppedByHealth(
            f"{self.skipped} steps had a gradient that is not finite (budget {self._budget}); "
            f"terms not finite: {', '.join(broken) or 'none'}; first parameters hit: {', '.join(hit[:3]) or 'none'}"
            + (f"; {where}" if where else ""),
            expected="finite gradients",
            fix="lower optimizer.learning_rate, set optimizer.grad_clip_norm, or mend the term named",
            verdicts=[replace(item, status="stop") for item in self.monitor.trouble.verdicts()],
        )

    def _diagnosed(self, batch: Batch, *, progress: float, seed: int) -> Trouble:
        """Where the NaN of this step comes from."""
        return diagnose(
            self.model,
            lambda: self._forward(batch, seed=seed, module=self._bare),
            weights=self._objective.term_weights(progress),
            step=round(progress * self._steps) + 1,
        )
