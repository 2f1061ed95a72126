"""One optimiser step, in one fixed order; a step with a non-finite gradient is skipped and counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from distsys.config.schema import CoreConfig
from distsys.domains.protocol import AnyDomain, Batch, Outputs
from distsys.errors import StoppedByHealth
from distsys.health.monitor import Monitor
from distsys.health.observation import Observation
from distsys.health.trouble import Trouble, diagnose
from distsys.training.ahead import LAG, Ahead, mix
from distsys.training.clock import Clock
from distsys.training.compiling import compiled
from distsys.training.interrupt import SIGNALS, note_signal, pending_signal
from distsys.training.objective import Objective
from distsys.training.optimizer import adamw, learning_rate_factor, take_moments
from distsys.training.spread import Spread, Terms
from distsys.training.workers import Workers

_FEW = 3
"""Skipped steps that are never held against a run, however short."""
_WARY = 64
"""Steps after one that was skipped in which the host waits for each, so that it sees what another one looks like."""


def seed_globally(seed: int, device: torch.device) -> None:
    """Seed torch's own generator of ``device``; torch.manual_seed would spend 1.5 ms on devices that are not there."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@dataclass(frozen=True)
class _Taken:
    """A part of a step after its backward pass: its terms as they count in the step, and their weighted sum."""

    batch: Batch
    seed: int
    terms: Mapping[str, Tensor]
    total: Tensor

    def broken(self) -> list[str]:
        """Terms that are not finite."""
        return _broken(self.terms)


def _broken(terms: Mapping[str, Tensor]) -> list[str]:
    return [name for name, value in terms.items() if not bool(torch.isfinite(value))]


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
        self._fast = compiled(self._terms, workers, how=config.compile)
        self._parameters = [item for item in model.parameters() if item.requires_grad]
        settings = config.optimizer
        self._optimizer = adamw(self._parameters, settings)
        decay = settings.ema_decay
        self._average = decay and AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self._average_decay = decay or 0.0
        self._steps, self._stepped = steps, 0
        reset_at = settings.reset_moments_at
        self._reset_step = None if reset_at is None else math.ceil(reset_at * steps)
        self._budget = max(_FEW, math.ceil(settings.max_skipped_share * steps))
        self._generator = torch.Generator(device=workers.device)
        self.skipped, self._is_asked = 0, False
        self._last: tuple[Tensor, Tensor]
        self._due_every, self._wary_until = due_every or steps, 0
        self._runs_ahead = workers.device.type == "cuda"
        self.clock = Clock(workers.device)
        self._ahead = Ahead(workers.device, self._rate_after, steps=steps)
        self.monitor = Monitor(
            config.health,
            terms=domain.terms,
            fields=domain.fields,
            steps=steps,
            due_every=self._due_every,
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
    def is_asked_to_stop(self) -> bool:
        """Whether a signal ends the run here; with several workers, one that all of them have heard of."""
        return self._is_asked if self._workers.world_size > 1 else pending_signal() is not None

    @property
    def learning_rate(self) -> float:
        """Of the next step; it moves only with steps that were really taken."""
        return self._rate_after(self._stepped)

    def _rate_after(self, taken: int) -> float:
        settings = self._config.optimizer
        return settings.learning_rate * learning_rate_factor(settings, self._steps, taken)

    def step(self, *parts: Batch, progress: float, seed: int) -> None:
        """Forward, terms, weights, backward, finite check, clip, update, schedule, average; health looks on.

        Args:
            parts: this worker's items, of which there are equally many in each part; health sees the last one.

        Raises:
            StoppedByHealth: more steps were skipped than the config allows.
        """
        done = round(progress * self._steps)
        if done == self._reset_step:
            self.forget_moments()
        look = self.monitor.begin(done + 1)
        taken = self._gradients(parts, look, progress=progress, seed=seed)
        if look:
            look.took_gradients()
        total = taken[0].total if len(taken) == 1 else torch.stack([item.total for item in taken]).sum()
        norm = self._norm(total)
        loss, is_finite, asked = self._agreed(total, norm)
        if look is None and self._may_run_ahead(done + 1):
            self._update_ahead(done + 1, taken, norm=norm, is_finite=is_finite, asked=asked)
        else:
            self.settle()
            is_taken = bool(is_finite)
            self._note_asked(asked)
            self.clock.ended("wait")
            if is_taken:
                self._clip(float(norm))
                self._update()
                self.clock.ended("optimizer")
            else:
                self._skip(taken, progress=progress)
            if look:
                limit = self._config.optimizer.grad_clip_norm
                self.monitor.end(look, done + 1, is_taken=is_taken, limit=limit, rate_after=self._rate_after)
        self._optimizer.zero_grad(set_to_none=True)
        self._last = loss, norm

    def _gradients(
        self, parts: Sequence[Batch], look: Observation | None, *, progress: float, seed: int
    ) -> list[_Taken]:
        """Forward and backward of every part; ``look`` collects the last one."""
        spread = Spread(
            self._domain,
            parts,
            lambda number: self._outputs(parts[number], seed=seed + number),
            config=self._config,
            workers=self._workers,
        )
        taken = []
        for number, batch in enumerate(parts):
            is_last = number == len(parts) - 1
            with nullcontext() if is_last else self._workers.alone(self._terms):
                looks = look if is_last else None
                with looks or nullcontext():
                    module = self._terms if looks else self._fast
                    outputs, terms = self._forward(batch, seed=seed + number, module=module)
                if look and is_last:
                    weights = self._objective.term_weights(progress)
                    self.monitor.saw(
                        look, round(progress * self._steps) + 1, batch=batch, outputs=outputs, terms=terms,
                        weights=weights,
                    )  # fmt: skip
                with self._autocast():
                    scaled = spread.scaled(number, terms, outputs)
                total = self._objective.total(scaled, progress)
                self.clock.ended("forward")
                total.backward()
                self.clock.ended("backward")
            taken.append(_Taken(batch, seed + number, scaled, total.detach()))
        return taken

    def _agreed(self, total: Tensor, norm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of all workers' items, whether the gradient is finite on each, and how many noted which signal."""
        if self._workers.world_size == 1:
            return total, norm.isfinite(), total.new_zeros(len(SIGNALS))
        # Filled there: a tensor of host values would have the host wait for the device.
        noted = [norm.new_full((), pending_signal() == number, dtype=torch.float64) for number in SIGNALS]
        found = self._workers.sum(torch.stack([total.double(), norm.double(), *noted]))
        loss, norms = found[:2] / self._workers.world_size
        return loss.float(), norms.isfinite(), found[2:].float()

    def _note_asked(self, asked: Tensor) -> None:
        """A signal that one worker noted is noted on all, after the same step."""
        for number, count in zip(SIGNALS, asked.tolist(), strict=True):
            if count:
                note_signal(number)
                self._is_asked = True

    def _may_run_ahead(self, number: int) -> bool:
        """Whether the host may leave step ``number`` to the device: nobody looks at it, and all was well lately."""
        is_due = number % self._due_every == 0 or number == self._steps
        return self._runs_ahead and not is_due and self._stepped > 0 and number > self._wary_until

    def _update_ahead(
        self, number: int, taken: Sequence[_Taken], *, norm: Tensor, is_finite: Tensor, asked: Tensor
    ) -> None:
        """What the device does by itself where the gradient is finite; the host counts what lies back far enough."""
        settings = self._config.optimizer
        gradients = [item.grad for item in self._parameters if item.grad is not None]
        self._ahead.update(
            self._optimizer, gradients, norm=norm, is_finite=is_finite, limit=settings.grad_clip_norm,
            counted=self._stepped,
        )  # fmt: skip
        if self._average:
            mix(self._average, self.model, share=is_finite * (1.0 - self._average_decay))
        self.clock.ended("optimizer")
        self._ahead.leave_open(number, is_finite, asked, [item.terms for item in taken])
        self.settle(keep=LAG)
        self.clock.ended("wait")

    def settle(self, *, keep: int = 0) -> None:
        """Count the steps that the device decided by itself, but for the last ``keep``; every worker comes here."""
        for step in self._ahead.counted(keep=keep):
            is_taken, asked = step.found()
            self._note_asked(asked)
            if is_taken:
                self._stepped += 1
                if self._average:
                    self._average.n_averaged += 1
                continue
            self.skipped += 1
            self._wary_until = max(self._wary_until, step.number + _WARY)
            broken = next((names for names in map(_broken, step.terms) if names), [])
            self.monitor.skipped(step.number, count=self.skipped, broken=broken, was_counted=True)

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
            "grad_norm": float(norm),
            "learning_rate": self.learning_rate,
            "skipped_steps": float(self.skipped),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on from here."""
        self.settle()
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
        self._ahead.forget()

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
        has_moments = take_moments(self._optimizer, state["optimizer"])
        (taken if has_moments else left).append("moments")
        if has_moments and self._config.optimizer.schedule == "constant":
            self._stepped = state["stepped"]
            self.monitor.goes_on_after(self._stepped)
            taken.append(f"the schedule's {self._stepped} steps")
        else:
            left.append("schedule, which is this run's own")
        return f"{', '.join(taken)} taken over; not {', '.join(left) or 'its place in the data'}"

    @torch.no_grad()
    def _outputs(self, batch: Batch, *, seed: int) -> Outputs:
        """What the model makes of ``batch`` with the draws of ``seed``."""
        return self._forward(batch, seed=seed, module=self._bare)[0]

    def _forward(
        self, batch: Batch, *, seed: int, module: nn.Module | None = None
    ) -> tuple[Outputs, Mapping[str, Tensor]]:
        seed_globally(seed, self._workers.device)  # dropout and the like: no random state has to survive a crash
        self._generator.manual_seed(seed)
        used = self._terms if module is None else module
        with self._autocast():
            found: tuple[Outputs, Mapping[str, Tensor]] = used(batch, self._generator)
        return found

    def _autocast(self) -> torch.autocast:
        reduced = self._config.precision == "bfloat16"
        return torch.autocast(self._workers.device.type, dtype=torch.bfloat16, enabled=reduced)

    def _terms_with(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Terms of another model, always with the same draws."""
        generator = torch.Generator(device=self._workers.device).manual_seed(0)
        with self._autocast():
            return Terms(self._domain, model, self._config)(batch, generator)[1]

    def _norm(self, total: Tensor) -> Tensor:
        """Norm of the whole gradient; not finite when the loss is not."""
        gradients = [item.grad for item in self._parameters if item.grad is not None]
        return torch.nn.utils.get_total_norm(gradients, foreach=True) + 0.0 * total.detach()

    def _clip(self, norm: float) -> None:
        limit = self._config.optimizer.grad_clip_norm
        if limit is not None and norm > limit:
            gradients = [item.grad for item in self._parameters if item.grad is not None]
            torch._foreach_mul_(gradients, limit / norm)

    def _skip(self, taken: Sequence[_Taken], *, progress: float) -> None:
        self.skipped += 1
        self._wary_until = max(self._wary_until, round(progress * self._steps) + 1 + _WARY)
        is_over = self.skipped > self._budget
        culprit = next((item for item in taken if item.broken()), taken[-1])
        broken = culprit.broken()
        if not is_over:
            self.monitor.skipped(round(progress * self._steps) + 1, count=self.skipped, broken=broken)
            return
        if self.monitor.is_on:
            self.monitor.trouble = self._diagnosed(culprit.batch, progress=progress, seed=culprit.seed)
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
