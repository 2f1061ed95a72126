"""How a defect is put into a domain from outside: methods replaced, batches changed, models given hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from distsys.domains.protocol import AnyDomain, Batch, DataBundle, EvalSet, Outputs

Change = Callable[[dict[str, Tensor]], Batch]
"""What becomes of a batch."""


def altered(domain: AnyDomain, **members: Any) -> AnyDomain:
    """``domain`` with members replaced; a method is given the one it replaces, then its own arguments."""

    def bound(name: str, member: Any) -> Any:
        if not callable(member):
            return member
        original = getattr(domain, name)
        return lambda self, *args, **named: member(original, *args, **named)

    found: AnyDomain = type("Altered", (type(domain),), {name: bound(name, m) for name, m in members.items()})()
    return found


def changed(source: Any, change: Change) -> Any:
    """A training source of the same type, with the same members, whose batches are changed."""

    def batch(self: Any, indices: Sequence[int], *, progress: float) -> Batch:
        return change(dict(source.batch(indices, progress=progress)))

    other = copy(source)
    object.__setattr__(other, "__class__", type("Changed", (type(source),), {"batch": batch, "unchanged": source}))
    return other


def with_batches(domain: AnyDomain, change: Change, *, frozen: bool = True) -> AnyDomain:
    """Training batches changed, and the frozen ones unless told otherwise."""

    def build(original: Any, config: Any, *, seed: int) -> DataBundle:
        bundle: DataBundle = original(config, seed=seed)
        found = replace(bundle, train=changed(bundle.train, change))
        return replace(found, validation=_set(found.validation), test=_set(found.test)) if frozen else found

    def _set(data: EvalSet) -> EvalSet:
        return replace(data, batches=[change(dict(batch)) for batch in data.batches], digest="")

    def renoised(original: Any, source: Any) -> Any:
        return changed(original(source.unchanged), change)

    members = {"build_data": build} | ({"renoised": renoised} if hasattr(domain, "renoised") else {})
    return altered(domain, **members)


def with_statistics(domain: AnyDomain, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> AnyDomain:
    """What the model remembers of its data changed."""

    def build(original: Any, config: Any, *, seed: int) -> DataBundle:
        bundle: DataBundle = original(config, seed=seed)
        return replace(bundle, statistics=change(dict(bundle.statistics)))

    return altered(domain, build_data=build)


def with_model(domain: AnyDomain, change: Callable[[nn.Module], None]) -> AnyDomain:
    """Fresh models changed by hooks and the like."""

    def build(original: Any, *args: Any) -> nn.Module:
        model: nn.Module = original(*args)
        change(model)
        return model

    return altered(domain, build_model=build)


def with_terms(domain: AnyDomain, change: Callable[[dict[str, Tensor], Outputs, Batch], Any]) -> AnyDomain:
    """Loss terms changed, given terms, outputs and batch."""

    def terms(original: Any, outputs: Outputs, batch: Batch, *, config: Any) -> Any:
        return change(dict(original(outputs, batch, config=config)), outputs, batch)

    return altered(domain, loss_terms=terms)


def with_output(domain: AnyDomain, change: Callable[[Tensor], Tensor]) -> AnyDomain:
    """What the network puts out changed, in training and wherever else it is asked."""

    def hooked(module: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):  # a mean and a spread
            return (change(output[0]), *output[1:])
        return change(output)

    def put_in(model: nn.Module) -> None:
        for part in heads(model):
            part.register_forward_hook(hooked)

    return with_model(domain, put_in)


def heads(model: Any) -> list[nn.Module]:
    """The modules whose outputs are the model's answer."""
    if hasattr(model, "members"):
        return [member.network for member in model.members]
    return [model.decoder[-1]] if hasattr(model, "decoder") else [model]


def parts(x: Tensor) -> Tensor:
    """``x`` as real numbers, real and imaginary parts beside each other."""
    return torch.view_as_real(x) if x.is_complex() else x


def whole(x: Tensor, like: Tensor) -> Tensor:
    """What :func:`parts` took apart."""
    return torch.view_as_complex(x.contiguous()) if like.is_complex() else x
