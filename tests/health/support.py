"""Runs of the outside domain with a part of it replaced, and what health says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distsys.domains.registry import get_domain
from distsys.health.check import Update, View
from distsys.health.verdict import Verdict
from distsys.training.loop import Run
from tests.training.support import make_context

Outputs = dict[str, Tensor]


class Altered:
    """The domain ``sine`` with some of its members replaced; a replaced method gets the original first."""

    def __init__(self, **parts: Any) -> None:
        self._domain, self._parts = get_domain("sine"), parts

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._domain, name)
        part = self._parts.get(name, original)
        if name in self._parts and callable(part):
            return lambda *args, **kwargs: part(original, *args, **kwargs)
        return part


def make_run(outside: Path, folder: Path, *overrides: str, domain: Any = None, phase: Any = "final") -> Run:
    return Run(make_context(outside, folder, *overrides, domain=domain, phase=phase))


def judged(run: Run) -> list[Verdict]:
    """Train to the end; what the monitor says there."""
    for _ in run.validations():
        pass
    return run._monitor.verdicts


def verdicts_of(
    outside: Path, folder: Path, *overrides: str, domain: Any = None, phase: Any = "final"
) -> list[Verdict]:
    return judged(make_run(outside, folder, *overrides, domain=domain, phase=phase))


def found(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    return [(verdict.status, verdict.cause) for verdict in verdicts]


def with_output(change: Callable[[nn.Module, Tensor], Tensor], name: str = "out") -> Altered:
    """``sine`` whose output is ``change(model, x)``, under ``name``."""

    def forward(original: Any, model: nn.Module, batch: Mapping[str, Tensor], *, generator: torch.Generator) -> Outputs:
        return {name: change(model, batch["x"])}

    def loss_terms(original: Any, outputs: Outputs, batch: Any, *, config: Any) -> Any:
        return original({"out": outputs[name]}, batch, config=config)

    return Altered(forward=forward, loss_terms=loss_terms)


def with_terms(
    change: Callable[[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]], dict[str, Tensor]], **more: Any
) -> Any:
    """``sine`` whose terms are ``change(outputs, batch, terms)``."""

    def loss_terms(original: Any, outputs: Outputs, batch: Any, *, config: Any) -> Any:
        return change(outputs, batch, dict(original(outputs, batch, config=config)))

    return Altered(loss_terms=loss_terms, **more)


def bare_view(**parts: Any) -> View:
    """The middle of a run of 200 steps in which nothing happened; ``parts`` say what did."""
    rate = parts.pop("learning_rate", 1e-2)
    values: dict[str, Any] = {
        "step": 100, "planned_steps": 200, "model": nn.Identity(), "batch": {}, "outputs": {}, "trained": frozenset(),
        "terms": {}, "weights": {}, "moved": {}, "live": {}, "gradients": {}, "ran": {}, "unweighted": frozenset(),
        "update": Update(True, 1.0, 1.0, None, rate, rate, (), frozenset()), "start": {}, "term_specs": {},
        "field_specs": {},
    }  # fmt: skip
    return View(**{**values, **parts})
