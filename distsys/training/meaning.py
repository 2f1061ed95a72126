"""Whether weights mean in a new run what they meant in theirs: the same statistics, names, shapes and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from distsys.config.schema import CoreConfig
from distsys.config.validate import plain_message
from distsys.domains.protocol import AnyDomain, Batch, DataBundle, Statistics
from distsys.errors import CheckpointError, UsageError
from distsys.training.checkpoint import Checkpoint
from distsys.training.origin import ABSENT, changed_keys
from distsys.training.spec import RunSpec

_SECTIONS = ("data.", "model.")
"""Of a config: what a domain makes of weights depends on these alone."""
_ROUNDING = 1e-4
"""Relative difference that another machine's rounding makes."""


def require_same_domain(source: Checkpoint, domain: AnyDomain) -> None:
    """Raises UsageError where the weights are of another domain than ``domain``."""
    if (name := source.meta["config"]["domain"]) != domain.name:
        raise UsageError(f"--from {source.path}: weights of '{name}'", expected=f"weights of '{domain.name}'")


def require_same_meaning(source: Checkpoint, spec: RunSpec, domain: AnyDomain, data: DataBundle) -> None:
    """The weights fit the model of ``spec`` and compute in it what they computed.

    Raises:
        CheckpointError: statistics, names, shapes or outputs are others.
    """
    fix = _as_there(changed_keys(source, spec.config))
    if changed := _changed_statistics(source.statistics, data.statistics):
        raise CheckpointError(
            f"{source.path}: its weights expect data scaled by other statistics: {'; '.join(changed)}",
            expected="the statistics that it was trained with",
            fix=fix,
        )
    ours = _built(domain, spec.config, data.statistics)
    if misfits := _misfits(source.model, ours.state_dict()):
        raise CheckpointError(
            f"{source.path}: its weights do not fit this model: {'; '.join(misfits)}",
            expected="the same names and shapes",
            fix=fix,
        )
    theirs = _built(domain, _config_of(source, domain), source.statistics)
    for model in (ours, theirs):
        model.load_state_dict(dict(source.model))
    if moved := _moved_outputs(domain, theirs, ours, data.validation.batches[0]):
        raise CheckpointError(
            f"{source.path}: its weights mean something else here: '{moved}' of the same items is another one than "
            "under its own config",
            expected="the same outputs of the same weights",
            fix=fix,
        )


def _as_there(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """How to get a model in which the weights mean what they did."""
    kept = {name: then for name, (then, _) in changed.items() if name.startswith(_SECTIONS) and then != ABSENT}
    values = {name: "null" if then is None else then for name, then in kept.items()}
    given = " ".join(f"--set {name}={value}" for name, value in values.items())
    return f"{given}, as there, or train without --from" if given else "train without --from"


def _config_of(source: Checkpoint, domain: AnyDomain) -> CoreConfig:
    try:
        return RunSpec.from_content(source.meta, domain).config
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            f"{source.path}: its config does not fit '{domain.name}' any more: "
            f"{'.'.join(map(str, first['loc']))}: {plain_message(first)}",
            expected="a checkpoint of this version of the domain",
            fix="train without --from",
        ) from error


def _built(domain: AnyDomain, config: CoreConfig, statistics: Statistics) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = domain.build_model(config, statistics)
    return model.eval()


def _misfits(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> list[str]:
    """The first of the names or shapes that differ."""
    shapes = [{name: list(value.shape) for name, value in state.items()} for state in (theirs, ours)]
    names = [name for name in [*ours, *theirs] if shapes[0].get(name) != shapes[1].get(name)]
    texts = [f"{name} {shapes[0].get(name, 'absent')}, here {shapes[1].get(name, 'absent')}" for name in names]
    few = list(dict.fromkeys(texts))
    return few if len(few) <= 3 else [*few[:3], f"and {len(few) - 3} more"]


def _changed_statistics(theirs: Statistics, ours: Statistics) -> list[str]:
    names = list(dict.fromkeys([*theirs, *ours]))
    found = {name: _difference(theirs.get(name), ours.get(name)) for name in names}
    return [f"{name} {text}" for name, text in found.items() if text]


def _difference(then: Any, now: Any) -> str:
    """Both values, or how far they are apart; empty where they are the same but for rounding."""
    if not (isinstance(then, Tensor) and isinstance(now, Tensor)):
        return "" if type(then) is type(now) and then == now else "differs"
    if then.shape != now.shape:
        return f"{list(then.shape)} -> {list(now.shape)}"
    if _alike(then, now):
        return ""
    if then.numel() == 1:
        return f"{float(then):.4g} -> {float(now):.4g}"
    return f"differs by up to {float((then.double() - now.double()).abs().max()):.3g}"


def _alike(one: Tensor, other: Tensor) -> bool:
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    scale = float(one.abs().nan_to_num(0.0).max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING * scale, equal_nan=True)


def _moved_outputs(domain: AnyDomain, theirs: nn.Module, ours: nn.Module, batch: Batch) -> str:
    """The first output that the two models do not share; empty where they share all."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        one, other = (
            domain.forward(model, batch, generator=torch.Generator().manual_seed(0)) for model in (theirs, ours)
        )
    names = list(dict.fromkeys([*one, *other]))
    return next((name for name in names if not _same_output(one.get(name), other.get(name))), "")


def _same_output(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and one.shape == other.shape and _alike(one, other)
