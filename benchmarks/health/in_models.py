"""Defects of models: clamps, constants, dead parts, ignored inputs, open bounds, eigenvectors (D4, D5, D6, ...)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.health.altered import heads, parts, whole, with_model, with_output, with_terms
from benchmarks.health.injections import GROUND, RIS, SPEECH, WORDS, add
from distsys.domains.protocol import AnyDomain, Batch, Outputs
from distsys.health.causes import DEAD_TERM, MIXED_ITEMS


def clamped(share: float) -> Callable[[Tensor], Tensor]:
    """Within ``share`` of the standard deviation of its mean, as the first batch has it."""
    band: list[tuple[float, float]] = []

    def change(x: Tensor) -> Tensor:
        values = parts(x)
        if not band:
            middle, width = float(values.detach().mean()), share * float(values.detach().std())
            band.append((middle - width, middle + width))
        return whole(values.clamp(*band[0]), x)

    return change


def _mostly_level(rest: float) -> Callable[[nn.Module], None]:
    """The answer is a trained level, the same for all items, and ``rest`` of what the network says."""

    def change(model: nn.Module) -> None:
        for part in heads(model):
            level = nn.Parameter(torch.tensor(0.5))
            part.register_parameter("level", level)
            part.register_forward_hook(lambda module, given, output, level=level: _levelled(output, level, rest))

    return change


def _levelled(output: Any, level: Tensor, rest: float) -> Any:
    if isinstance(output, tuple):
        return tuple(_levelled(item, level, rest) for item in output)
    values = parts(output)
    return whole(level + rest * torch.tanh(values), output)


def _first_detached(model: nn.Module) -> None:
    """Nothing learns behind the first layer, in every member of an ensemble."""
    leaves = [(name, part) for name, part in model.named_modules() if not list(part.children()) and part._parameters]
    tail = leaves[0][0].split(".")[-2:] if hasattr(model, "members") else leaves[0][0].split(".")
    for name, part in leaves:
        if name.split(".")[-len(tail) :] == tail:
            part.register_forward_hook(lambda module, given, output: output.detach())


def _gradients_zeroed(share: float) -> Callable[[nn.Module], None]:
    """The first parameters, up to ``share`` of all values, get gradients of exactly 0."""

    def change(model: nn.Module) -> None:
        named = [item for item in model.parameters() if item.requires_grad]
        whole_size, seen = sum(item.numel() for item in named), 0
        for item in named:
            if seen < share * whole_size:
                item.register_hook(torch.zeros_like)
            seen += item.numel()

    return change


def _dead_units(model: nn.Module) -> None:
    """The network's answer goes through a rectifier that its bias keeps shut."""
    for part in heads(model):
        part.register_forward_hook(lambda module, given, output: _shut(output))


def _shut(output: Any) -> Any:
    if isinstance(output, tuple):
        return tuple(_shut(item) for item in output)
    values = parts(output)
    return whole(torch.relu(values - 1e3) + values.detach() * 0.5, output)


def _ignoring(number: int) -> Callable[[nn.Module], None]:
    """The n-th input of the network is zeros."""

    def scale(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(0.0 * item if place == number else item for place, item in enumerate(given))

    def change(model: Any) -> None:
        for part in [member.network for member in model.members] if hasattr(model, "members") else [model]:
            part.register_forward_pre_hook(scale)

    return change


def _closed_gates(model: Any) -> None:
    """Enrolments reach the mixture by nothing."""
    for fusion in model.fusions:
        fusion.register_forward_hook(lambda module, given, output: given[0])


def _same_snapshots(model: nn.Module) -> None:
    def first_of_all(module: nn.Module, given: tuple[Batch, ...]) -> tuple[Batch, ...]:
        batch = given[0]
        return ({**batch, "snapshots": batch["snapshots"][:1].expand_as(batch["snapshots"])},)

    model.register_forward_pre_hook(first_of_all)


def _encoder_blind(begin: int, end: int) -> Callable[[Any], None]:
    def blind(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen = given[0].clone()
        seen[:, begin:end] = 0.0
        return (seen,)

    def change(model: Any) -> None:
        model.encoder.register_forward_pre_hook(blind)

    return change


def _open_heads(start: float) -> Callable[[nn.Module], None]:
    def change(model: Any) -> None:
        model._bounded = lambda activation: activation
        with torch.no_grad():
            model.decoder[-1].bias.fill_(start)

    return change


def _by_eigenvectors(jitter: float) -> Callable[[AnyDomain], AnyDomain]:
    """A term that looks at one eigenvector of many with nearly equal eigenvalues."""

    def change(terms: dict[str, Tensor], outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        factors = outputs["factors"].to(torch.complex128)
        covariance = factors @ factors.mH
        spread = torch.linspace(0.0, jitter, covariance.shape[-1], dtype=torch.float64)
        trace = covariance.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)[:, None, None]
        _, vectors = torch.linalg.eigh(covariance + trace * torch.diag(spread).to(covariance))
        return {**terms, "subspace_align": terms["subspace_align"] + vectors[..., 0, 0].abs().square().mean().float()}

    return lambda domain: with_terms(domain, change)


for share in (0.02, 0.3):
    add("D4", f"outputs clamped at {share:g} standard deviations", lambda it, s=share: with_output(it, clamped(s)))
for rest in (1e-5, 3e-3):
    add("D5", f"outputs are a level and {rest:g} of an answer", lambda it, r=rest: with_model(it, _mostly_level(r)))
add("D6", "first layer detached", lambda it: with_model(it, _first_detached))
for share in (0.3, 0.9):
    add("D6", f"gradients of {share:.0%} are 0", lambda it, s=share: with_model(it, _gradients_zeroed(s)))
add("D6", "the answer behind a shut rectifier", lambda it: with_model(it, _dead_units), also=(DEAD_TERM.name,))
add(
    "D10",
    "what is given is zeros",
    lambda it: with_model(it, _ignoring(0)),
    domains=(GROUND,),
    also=("shuffle_loss outside its band",),
)
add("D10", "enrolments are zeros, in the network", lambda it: with_model(it, _ignoring(1)), domains=(SPEECH,))
add("D10", "gates to the enrolment closed", lambda it: with_model(it, _closed_gates), domains=(SPEECH,))
add(
    "D10",
    "one item's snapshots for all",
    lambda it: with_model(it, _same_snapshots),
    domains=(RIS,),
    also=(MIXED_ITEMS.name,),
)
add("D10", "settings hidden from the encoder", lambda it: with_model(it, _encoder_blind(0, 13)), domains=(WORDS,))
add("D10", "curves hidden from the encoder", lambda it: with_model(it, _encoder_blind(13, 77)), domains=(WORDS,))
for jitter in (0.0, 1e-9, 1e-6):
    add("D18", f"eigenvectors of equal values, {jitter:g} apart", _by_eigenvectors(jitter), domains=(RIS,))
for start in (0.5, 2.0):
    add(
        "D23",
        f"heads without bounds, at {start:g}",
        lambda it, s=start: with_model(it, _open_heads(s)),
        domains=(WORDS,),
        also=("in_bounds_fraction outside its band",),
    )
