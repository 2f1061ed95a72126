"""An experiment as the doctor sees it: its domain, config and data as callables and facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from distsys.config.schema import CoreConfig
from distsys.domains.protocol import (
    AnyDomain,
    Batch,
    Coded,
    EvalSet,
    Generative,
    Renoising,
    effective_constraints,
    to_device,
)
from distsys.health.probes.patient import NUM_ITEMS, Evaluated, Patient, Rehearsal
from distsys.pipeline.rehearsal import rehearse
from distsys.training.data import built_data
from distsys.training.evaluate import evaluate, mean_terms
from distsys.training.objective import Objective
from distsys.training.spec import Phase, RunSpec
from distsys.training.spread import Terms
from distsys.training.step import seed_globally

_PHASES: tuple[Phase, ...] = ("search", "final")
_FEWEST = 4
"""Items of each frozen batch that are looked at, at least."""


def patient_of(domain: AnyDomain, config: CoreConfig, device: torch.device) -> Patient:
    """Everything that probes ask of an experiment."""
    return _Maker(domain, config, device).patient()


@dataclass(frozen=True)
class _Maker:
    """The parts of a patient that need domain, config and device."""

    domain: AnyDomain
    config: CoreConfig
    device: torch.device

    def patient(self) -> Patient:
        domain, bundle = self.domain, built_data(self.domain, self.config)
        num_items = min(NUM_ITEMS, self.config.batch_size)
        spec = RunSpec(self.config, "search")
        return Patient(
            terms=domain.terms,
            fields=domain.fields,
            constraints=effective_constraints(domain, spec.bands()),
            selection=domain.selection,
            weights={phase: self._weights(phase) for phase in _PHASES},
            statistics=bundle.statistics,
            num_items=num_items,
            batch=lambda indices, progress: to_device(bundle.train.batch(indices, progress=progress), self.device),
            frozen=to_device(bundle.validation.batches[0], torch.device("cpu")),
            build=self.build,
            forward=self.forward,
            loss_terms=lambda outputs, batch: domain.loss_terms(outputs, batch, config=self.config),
            losses=self.losses,
            rehearse=lambda: self._rehearsal(spec, num_items),
            evaluate=self.evaluate,
            learning_rate=self.config.optimizer.learning_rate,
            grad_clip_norm=self.config.optimizer.grad_clip_norm,
            renoised=self._renoised(),
            round_trip=self._round_trip(),
            generation=self._generation(),
        )

    def build(self) -> nn.Module:
        seed_globally(self.config.seed, self.device)
        model = self.domain.build_model(self.config, built_data(self.domain, self.config).statistics)
        return model.to(self.device)

    def forward(self, model: nn.Module, batch: Batch, seed: int) -> Mapping[str, Tensor]:
        seed_globally(seed, self.device)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        return self.domain.forward(model, batch, generator=generator)

    def losses(self, model: nn.Module, batch: Batch, seed: int) -> tuple[float, float]:
        """That of a training step, gradients recorded, and that of a validation, under the final weights."""
        objective = Objective(self.domain.terms, RunSpec(self.config, "final").weights())
        seed_globally(seed, self.device)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        with torch.enable_grad():
            _, terms = Terms(self.domain, model, self.config)(batch, generator)
        training = objective.total(terms, 1.0).detach()
        validation = mean_terms(self.domain, model, EvalSet([batch]), config=self.config, seed=seed)
        return float(training), float(objective.total(validation, 1.0))

    def evaluate(self, model: nn.Module) -> Evaluated:
        """On a few items of every frozen batch; on all where the domain does not take fewer."""
        whole = built_data(self.domain, self.config).validation.to(self.device)
        few = _cut(whole)
        constraints = effective_constraints(self.domain, self.config.constraints)
        try:
            found = evaluate(self.domain, model, few, constraints=constraints)
        except Exception:
            few, found = whole, evaluate(self.domain, model, whole, constraints=constraints)
        share = _count(few) / _count(whole)
        return Evaluated(dict(found.metrics), [float(item) for item in found.items], share)

    def _weights(self, phase: Phase) -> Callable[[float], Mapping[str, float]]:
        schedules = RunSpec(self.config, phase).weights()
        return lambda progress: {term.name: schedules[term.weight_name].at(progress) for term in self.domain.terms}

    def _rehearsal(self, spec: RunSpec, num_items: int) -> Rehearsal:
        return rehearse(self.domain, self.build(), spec, num_items=num_items, device=self.device)

    def _renoised(self) -> Any:
        domain = self.domain
        if not isinstance(domain, Renoising):
            return None
        source = domain.renoised(built_data(domain, self.config).train)
        return lambda indices, progress: to_device(source.batch(indices, progress=progress), self.device)

    def _round_trip(self) -> Any:
        domain = self.domain
        if not isinstance(domain, Coded):
            return None
        statistics = built_data(domain, self.config).statistics
        return lambda batch: domain.round_trip(self.config, statistics, batch)

    def _generation(self) -> Any:
        domain = self.domain
        if not isinstance(domain, Generative):
            return None

        def generation(model: nn.Module, batch: Batch) -> Any:
            seed_globally(0, self.device)
            with torch.no_grad():
                return domain.generation(model, batch, generator=torch.Generator(device=self.device).manual_seed(0))

        return generation


def _count(data: EvalSet) -> int:
    return sum(len(next(iter(batch.values()))) for batch in data.batches)


def _cut(data: EvalSet) -> EvalSet:
    """The first items of every batch, about as many in all as a probe looks at."""
    each = max(_FEWEST, -(-NUM_ITEMS // len(data.batches)))
    batches = [{name: values[:each] for name, values in batch.items()} for batch in data.batches]
    return replace(data, batches=batches, digest="")
