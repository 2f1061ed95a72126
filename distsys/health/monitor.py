"""The monitor: called by name in a training loop, it decides when to look, asks checks, and keeps their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from distsys.config.schema import HealthConfig
from distsys.health.check import ZERO_HEAD_STEPS, Check, Update, View
from distsys.health.columns import answered
from distsys.health.flight.battery import Battery, TermsWith
from distsys.health.flight.movement import sampled
from distsys.health.judging import as_accepted
from distsys.health.observation import Observation, TermsOf
from distsys.health.registry import build_checks
from distsys.health.trouble import Trouble
from distsys.health.verdict import Verdict, is_sick
from distsys.specs import FieldSpec, TermSpec

DENSE = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""First looks: twelve, which is what the slowest check needs, before most defects have cost anything."""
_REACH_AT = (16, 64)
"""Steps at which it is found out which parameters only terms of weight zero reach; then at every tenth sparse look."""
_LIVE_EVERY = 3
"""Sparse looks of which one measures the gradient of each term."""
_SAMPLE = 65536
"""Values of a parameter's beginning, spread evenly over it, that are kept."""
_SEVERITY = ("ok", "warn", "stop")

Gather = Callable[[Any], list[Any]]
"""A value of this worker to those of all, in the order of ranks."""


def is_looked_at(step: int, *, every: int, due_every: int, steps: int) -> bool:
    """Whether checks look at ``step`` (from 1) of ``steps``, which costs more than a step that nobody looks at."""
    return step in DENSE or step % every == 0 or step % due_every == 0 or step == steps


class Monitor:
    """Watches one run. Nothing of the run changes by it: not a number, a gradient or a random state.

    Args:
        config: which checks, which thresholds, how often.
        terms, fields: what the domain declares.
        steps: planned.
        due_every: steps between validations; each is looked at.
        terms_of: (outputs, batch) to loss terms.
        terms_with: (a copy of the model, batch) to loss terms; without it nobody asks why a term stays at chance.
        gather: values of all workers; None when there is one.
    """

    def __init__(
        self,
        config: HealthConfig,
        *,
        terms: Sequence[TermSpec],
        fields: Sequence[FieldSpec],
        steps: int,
        due_every: int,
        terms_of: TermsOf,
        terms_with: TermsWith | None = None,
        gather: Gather | None = None,
    ) -> None:
        self._config, self._steps, self._due_every = config, steps, due_every
        self._terms = {item.name: item for item in terms}
        self._fields = {item.name: item for item in fields}
        self._terms_of, self._gather = terms_of, gather
        self._checks: list[Check] = build_checks(config.checks) if config.on else []
        self._found: dict[str, list[Verdict]] = {}
        self._others: list[Verdict] = []
        self._onsets: dict[str, int] = {}
        self._unweighted: frozenset[str] = frozenset()
        self._off: frozenset[str] | None = None
        self._taken, self.trouble = 0, Trouble()
        self._look: Observation | None = None
        self._last: View | None = None
        self._start: dict[str, Tensor] = {}
        self._battery = terms_with and Battery(terms_with)

    @property
    def is_on(self) -> bool:
        return bool(self._checks)

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Before the first step, and before a checkpoint is loaded: the model as it begins."""
        self._model, self._optimizer = model, optimizer
        if self.is_on:
            self._start = {
                name: sampled(item.detach(), _SAMPLE).clone()
                for name, item in model.named_parameters()
                if item.requires_grad and item.dim() > 1
            }
            optimizer.register_step_pre_hook(self._before_update)
            optimizer.register_step_post_hook(self._after_update)

    def goes_on_after(self, taken: int) -> None:
        """The schedule is one of which an earlier run has taken so many steps."""
        self._taken = taken

    def _before_update(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self._look is not None:
            self._look.took_step(optimizer)

    def _after_update(self, *_: Any) -> None:
        self._taken += 1

    def begin(self, step: int) -> Observation | None:
        """What collects ``step`` (from 1), or None where nobody looks."""
        self._look = Observation(self._model, self._terms_of) if self.is_on and self._is_due(step) else None
        return self._look

    def _is_due(self, step: int) -> bool:
        return is_looked_at(step, every=self._config.every, due_every=self._due_every, steps=self._steps)

    def saw(
        self,
        look: Observation,
        step: int,
        *,
        batch: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float],
    ) -> None:
        """The forward pass of a step that is looked at, before its backward pass."""
        every = self._config.every
        live = step > ZERO_HEAD_STEPS and (step in DENSE or step % (_LIVE_EVERY * every) == 0)
        moved = step % every == 0 and step >= self._steps // 4
        columns = self._columns_of(outputs, batch) if live else {}
        look.saw(batch, outputs, terms, weights, live=live, moved=moved, columns=columns)
        off = frozenset(name for name, weight in weights.items() if weight == 0.0)
        if step in _REACH_AT or step % (10 * every) == 0 or off != self._off:
            self._unweighted, self._off = look.reach(terms, weights), off

    def _columns_of(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Sequence[str]]:
        """Of outputs that answer a field with declared columns."""
        if not any(item.columns for item in self._fields.values()):
            return {}
        real = [name for name, value in outputs.items() if value.dim() > 1 and not value.is_complex()]
        names = {name: answered(name, outputs, batch, self._fields.values()) for name in real}
        found = {name: self._fields[of].columns for name, of in names.items() if of in self._fields}
        return {name: columns for name, columns in found.items() if outputs[name].shape[-1] == len(columns)}

    def end(
        self,
        look: Observation,
        step: int,
        *,
        is_taken: bool,
        limit: float | None,
        rate_after: Callable[[int], float],
    ) -> None:
        """Judge what ``look`` collected; before gradients are cleared.

        Args:
            limit: norm to which gradients are clipped.
            rate_after: learning rate of the schedule after so many real steps.
        """
        self._look = None
        numbers = look.numbers()
        norms = numbers["gradients"]
        update = Update(
            is_taken=is_taken,
            norm=sum(value**2 for value in norms.values()) ** 0.5,
            norm_used=look.norm_used,
            limit=limit,
            learning_rate=look.learning_rate,
            scheduled_rate=rate_after(self._taken - is_taken),
            stale=look.stale,
            held=frozenset(id(item) for group in self._optimizer.param_groups for item in group["params"]),
        )
        view = View(
            step=step, planned_steps=self._steps, model=self._model, batch=look.batch, outputs=look.outputs,
            trained=look.trained, terms=numbers["terms"], weights=look.weights, moved=numbers["moved"],
            live=numbers["live"], gradients=look.gradients(norms), ran=look.ran, unweighted=self._unweighted,
            update=update, start=self._start, term_specs=self._terms, field_specs=self._fields, eigen=look.eigen,
            battery=self._battery, columns=look.columns(),
        )  # fmt: skip
        self._ask(view, at_validation=False)
        self._last = replace(view, batch={}, outputs={})
        self._share_over_ranks()

    def weigh(self, shares: Mapping[str, float]) -> None:
        """Each term's share of the gradient norm, as a validation has just measured it."""
        if self._last is not None:
            self._ask(replace(self._last, shares=shares), at_validation=True)

    def skipped(self, step: int, *, count: int, broken: Sequence[str], was_counted: bool = False) -> None:
        """``step`` was skipped, the ``count``-th, for a gradient that is not finite; nor were the ``broken`` terms.

        Args:
            was_counted: the optimiser was asked for it nonetheless, and did nothing.
        """
        if self.is_on:
            self._taken -= was_counted
            what = f"terms not finite: {', '.join(broken)}" if broken else "all terms finite on this worker"
            text = f"{count} steps skipped for a gradient that is not finite, the last at step {step}; {what}"
            self.trouble = Trouble(text, step=self.trouble.step or step)

    def _ask(self, view: View, *, at_validation: bool) -> None:
        for check in self._checks:
            if check.at_validation != at_validation:
                continue
            if (verdicts := check.look(view)) is not None:
                causes = {item.cause for item in verdicts}
                for item in self._found.get(check.name, []):
                    if item.cause not in causes:  # a second spell begins anew
                        self._onsets.pop(item.cause, None)
                self._found[check.name] = [self._since_onset(item) for item in verdicts]

    def _since_onset(self, verdict: Verdict) -> Verdict:
        """``verdict`` with the first step at which its cause was seen."""
        onset = min(self._onsets.get(verdict.cause, verdict.onset_step), verdict.onset_step)
        self._onsets[verdict.cause] = onset
        return replace(verdict, onset_step=onset)

    def _own(self) -> list[Verdict]:
        found = [item for check in self._checks for item in self._found.get(check.name, [])]
        return [*self.trouble.verdicts(), *as_accepted(found, self._config.accept)]

    def _share_over_ranks(self) -> None:
        if self._gather is not None:
            everyone = self._gather([item.content() for item in self._own()])
            self._others = [verdict for contents in everyone for verdict in Verdict.read_all(contents)]

    @property
    def verdicts(self) -> list[Verdict]:
        """What is wrong on any worker: one a cause, the gravest, those that forbid a choice first."""
        worst: dict[str, Verdict] = {}
        for verdict in [*self._own(), *self._others]:
            known = worst.get(verdict.cause)
            if known is None or _SEVERITY.index(verdict.status) > _SEVERITY.index(known.status):
                worst[verdict.cause] = verdict
        return sorted(worst.values(), key=lambda item: -_SEVERITY.index(item.status))

    @property
    def is_sick(self) -> bool:
        """Whether going on is pointless, or what comes of it must not be chosen."""
        return is_sick([*self._own(), *self._others])

    @property
    def is_sick_everywhere(self) -> bool:
        """The same as all workers know it alike: with several, as of their last exchange."""
        return self.is_sick if self._gather is None else is_sick(self._others)

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "checks": {check.name: check.state() for check in self._checks},
            "found": {name: [item.content() for item in verdicts] for name, verdicts in self._found.items()},
            "others": [item.content() for item in self._others],
            "onsets": dict(self._onsets),
            "unweighted": sorted(self._unweighted),
            "taken": self._taken,
            "trouble": self.trouble.state(),
            "battery": self._battery.state() if self._battery else {},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave; a check that was not there begins anew."""
        for check in self._checks:
            if check.name in state["checks"]:
                check.load(state["checks"][check.name])
        self._found = {name: list(Verdict.read_all(items)) for name, items in state["found"].items()}
        self._others = list(Verdict.read_all(state["others"]))
        self._onsets, self._unweighted = dict(state["onsets"]), frozenset(state["unweighted"])
        self._taken, self.trouble = state["taken"], Trouble(**state["trouble"])
        self._off, self._last = None, None
        if self._battery and state.get("battery"):
            self._battery.load(state["battery"])
