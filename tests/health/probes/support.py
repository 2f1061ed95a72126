"""The outside domain in small variants, each with one thing wrong or harmlessly odd, as a patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distsys.config import reuse
from distsys.domains.protocol import DataBundle, EvalSet
from distsys.health.probes.patient import Patient, Probe
from distsys.health.verdict import Verdict
from distsys.pipeline.patient import patient_of
from tests.training.support import make_spec

Batch = Mapping[str, Tensor]
Change = Callable[[dict[str, Tensor], Any], Batch]
"""What becomes of a batch and its indices."""
Term = Callable[[Tensor, Batch], Tensor]
"""A loss term of the output and the batch."""


def sine() -> Any:
    """The domain itself, importable once it is installed."""
    return import_module("sine_domain").Sine()


def variant(domain: Any, **parts: Any) -> Any:
    """The domain with some of its parts replaced."""
    members = {name: staticmethod(part) if callable(part) else part for name, part in parts.items()}
    return type("Variant", (type(domain),), members)()


def patient(outside: Path, *overrides: str, **parts: Any) -> Patient:
    """The sine as a patient; ``parts`` replace what the domain has."""
    spec, domain = make_spec(outside, *overrides)
    reuse.forget()
    return patient_of(variant(domain, **parts), spec.config, torch.device("cpu"))


def found(probe: Probe, outside: Path, *overrides: str, **parts: Any) -> list[Verdict]:
    """What a probe finds on such a patient."""
    return probe(patient(outside, *overrides, **parts))


class Changed:
    """A training source whose batches are changed."""

    def __init__(self, source: Any, change: Change) -> None:
        self.source, self.change = source, change

    def batch(self, indices: Any, *, progress: float) -> Batch:
        return self.change(dict(self.source.batch(indices, progress=progress)), indices)


def data(
    change: Change,
    *,
    frozen: bool = True,
    statistics: Mapping[str, Tensor] | None = None,
    items: int | None = None,
) -> Callable[..., DataBundle]:
    """``build_data`` whose items are changed, the frozen ones too unless told otherwise."""

    def build(config: Any, *, seed: int) -> DataBundle:
        bundle = sine().build_data(config, seed=seed)
        batch = {name: values[:items] for name, values in bundle.validation.batches[0].items()}
        batch = dict(change(batch, range(len(batch["x"])))) if frozen else batch
        return DataBundle(
            Changed(bundle.train, change), EvalSet([batch]), bundle.test, bundle.provenance, statistics or {}
        )

    return build


def noise_of(indices: Any, *shape: int, seed: int = 0) -> Tensor:
    """Normal noise that is a function of the index."""
    rows = [torch.randn(shape, generator=torch.Generator().manual_seed(7919 * seed + int(i))) for i in indices]
    return torch.stack(rows)


def model_of(make: Callable[[int], nn.Module]) -> Callable[..., nn.Module]:
    """``build_model`` that gives another network of the configured width."""
    return lambda config, statistics: make(config.model.width)


def terms(**made: Term) -> Callable[..., Batch]:
    """``loss_terms`` with some terms replaced."""

    def loss_terms(outputs: Batch, batch: Batch, *, config: Any) -> Batch:
        out = outputs["out"]
        usual = {"mse": (out - batch["y"]).square().mean(), "size": out.square().mean()}
        return {**usual, **{name: term(out, batch) for name, term in made.items()}}

    return loss_terms
