"""Loss terms: below their bound for some output (D11), without gradient (D12), or alone with it (D24)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from distsys.health.causes import DEAD_TERM, NOT_FINITE, ONE_COLUMN, ONE_TERM, UNBOUNDED_TERM
from distsys.health.columns import UNDONE, alone, answered, by_kind, errors
from distsys.health.probes.patient import Patient, Tensors
from distsys.health.probes.tensors import gradient_norm, gradients, is_numeric, real, trainable
from distsys.health.verdict import Verdict
from distsys.specs import TermSpec

_SLACK = 1e-4
_DEAD = 0.99
_ALONE = 0.999
_FALLS = (1e-2, 1e-4, 1e-6)
"""Of the outputs: a term that falls at each of them rewards silence without end."""
_COLUMNS = 64
_SAME = 0.02
"""Of the target's spread, below which a column of an output counts as constant."""


def term_bounds(patient: Patient) -> list[Verdict]:
    """Outputs made small, large, negative and random must leave each term above its declared bound."""
    model, batch = patient.build(), patient.late
    outputs = patient.forward(model, batch, 0)
    worst: dict[str, tuple[float, str]] = {}
    for how, changed in _variants(outputs):
        for name, value in _tried(patient, changed, batch).items():
            if name not in worst or value < worst[name][0]:
                worst[name] = value, how
    found = []
    for term in patient.terms:
        value, how = worst.get(term.name, (float("inf"), ""))
        if value < term.lower_bound - _SLACK * max(1.0, abs(term.lower_bound)):
            evidence = f"{term.name} = {value:.4g} {term.unit} with {how}, declared bound {term.lower_bound:g}"
            found.append(UNBOUNDED_TERM.verdict("stop", evidence, step=0))
    return found + _endless(patient, outputs)


def _endless(patient: Patient, outputs: Tensors) -> list[Verdict]:
    """Terms declared without a bound that fall whenever outputs shrink."""
    open_terms = [term for term in patient.terms if term.lower_bound == -float("inf")]
    if not open_terms:
        return []
    courses = [_tried(patient, _changed(outputs, _times(factor)), patient.late) for factor in (1.0, *_FALLS)]
    found = []
    for term in open_terms:
        values = [course.get(term.name, float("nan")) for course in courses]
        if all(after < before - 1.0 for before, after in pairwise(values)):
            evidence = f"{term.name} = {values[0]:.3g}, {values[1]:.3g}, {values[2]:.3g}, {values[3]:.3g} {term.unit}"
            found.append(UNBOUNDED_TERM.verdict("warn", f"{evidence} with outputs x 1, 1e-2, 1e-4, 1e-6", step=0))
    return found


def _variants(outputs: Tensors) -> Iterator[tuple[str, Tensors]]:
    yield "outputs as they are", outputs
    yield "outputs x 1e-4", _changed(outputs, _times(1e-4))
    yield "outputs x 1e-8", _changed(outputs, _times(1e-8))
    yield "outputs x 100", _changed(outputs, _enlarged(100.0))
    yield "outputs x 1e6", _changed(outputs, _enlarged(1e6))
    yield "outputs negated", _changed(outputs, _negated)
    generator = torch.Generator().manual_seed(0)
    yield "random outputs", _changed(outputs, lambda values: _random(values, generator))


def _changed(outputs: Tensors, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """``change`` of what the model made; what stands beside it (a target, a weight) has no gradient and stays."""
    return {
        name: change(values.detach()) if values.requires_grad and is_numeric(values) else values.detach()
        for name, values in outputs.items()
    }


def _times(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda values: values * factor


def _sides(values: Tensor) -> tuple[bool, bool]:
    """Whether values never fall below 0, and whether they never rise above it: variances, logarithms of shares."""
    if values.is_complex() or not values.numel():
        return False, False
    return bool((values >= 0).all()), bool((values <= 0).all())


def _is_share(values: Tensor) -> bool:
    return _sides(values)[0] and bool((values <= 1).all())


def _enlarged(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda values: values if _is_share(values) else values * factor


def _negated(values: Tensor) -> Tensor:
    return values if any(_sides(values)) else -values


def _random(values: Tensor, generator: torch.Generator) -> Tensor:
    if _is_share(values):
        return torch.rand(values.shape, generator=generator, dtype=values.dtype).to(values.device)
    size = real(values).square().mean().sqrt().clamp(min=1e-3)
    drawn = torch.randn(values.shape, generator=generator, dtype=values.dtype).to(values.device)
    low, high = _sides(values)
    signed = drawn.abs() if low else -drawn.abs() if high else drawn
    return (signed * size).to(values.dtype)


def _tried(patient: Patient, outputs: Tensors, batch: Tensors) -> dict[str, float]:
    """Terms of outputs that perhaps no model can put out: what refuses them, or answers NaN, says nothing."""
    try:
        with torch.no_grad():
            terms = patient.loss_terms(outputs, batch)
    except (ValueError, RuntimeError, AssertionError, IndexError):
        return {}
    return {name: float(value) for name, value in terms.items() if bool((value == value).all())}


def term_gradients(patient: Patient) -> list[Verdict]:
    """After a few steps: terms above their floor whose gradient is zero for nearly all items."""
    model, batch = patient.rehearsal.model, patient.late
    outputs = patient.forward(model, batch, 0)
    leaves = {name: values for name, values in outputs.items() if values.requires_grad and values.ndim > 0}
    if not leaves:
        return [DEAD_TERM.verdict("stop", "no output depends on a parameter", step=0)]
    terms = patient.loss_terms(outputs, batch)
    dead, alive = [], False
    for term in patient.used_terms():
        value = terms[term.name]
        slopes = gradients(value, list(leaves.values()))
        if not all(bool(torch.isfinite(item).all()) for item in slopes):
            return [NOT_FINITE.verdict("stop", f"the gradient of {term.name} is not finite", step=0)]
        share = _silent_share(slopes)
        if share < _DEAD:
            alive = True
        elif _above_floor(term, float(value.detach())):
            dead.append((term, float(value.detach()), share))
    return [
        DEAD_TERM.verdict(
            "warn" if alive else "stop",
            f"{term.name} = {value:.4g} {term.unit}, above its floor of {term.lower_bound:g}, has no gradient for "
            f"{100 * share:.0f} % of items",
            step=len(patient.rehearsal.steps),
        )
        for term, value, share in dead
    ]


def _silent_share(gradients: list[Tensor]) -> float:
    """Share of items whose gradient is exactly zero, in the output that reaches most of them."""
    shares = [float((item.flatten(1) if item.ndim > 1 else item[:, None]).abs().amax(1).eq(0).double().mean())
              for item in gradients]  # fmt: skip
    return min(shares, default=1.0)


def _above_floor(term: TermSpec, value: float) -> bool:
    return value > term.lower_bound + 1e-6 * max(1.0, abs(term.lower_bound)) and value != 0.0


def gradient_shares(patient: Patient) -> list[Verdict]:
    """One term, or one column of an output, with all of the gradient although no weight says so."""
    model, batch = patient.rehearsal.model, patient.late
    parameters = trainable(model)
    outputs = patient.forward(model, batch, 0)
    terms = patient.loss_terms(outputs, batch)
    norms = {term.name: gradient_norm(terms[term.name], parameters) for term in patient.used_terms()}
    found: dict[str, Verdict] = {}
    for phase, weights in patient.weights.items():
        weighted = {name: norm * weights(1.0)[name] for name, norm in norms.items() if weights(1.0)[name] > 0}
        alone = _alone(weighted)
        if alone is not None and alone == _alone({name: norms[name] for name in weighted}):
            share = weighted[alone] / sum(weighted.values())
            evidence = f"{alone} has {100 * share:.4f} % of the gradient under the weights of the {phase} phase"
            found.setdefault(alone, ONE_TERM.verdict("warn", evidence, step=len(patient.rehearsal.steps)))
    return [*found.values(), *_columns(patient, outputs, terms)]


def _alone(norms: Mapping[str, float]) -> str | None:
    """The term with nearly all, where several have some."""
    some = {name: norm for name, norm in norms.items() if norm > 0}
    if len(some) < 2:
        return None
    first = max(some, key=lambda name: some[name])
    return first if some[first] > _ALONE * sum(some.values()) else None


def _columns(patient: Patient, outputs: Tensors, terms: Tensors) -> list[Verdict]:
    """Declared columns by kind; of tables without a declaration each column, if there are few."""
    weights = list(patient.weights.values())[-1](1.0)
    total = torch.stack([terms[term.name].float() * weights[term.name] for term in patient.terms]).sum()
    found = []
    for name, values in outputs.items():
        of = answered(name, outputs, patient.late, patient.fields)
        kinds = _kinds(values, next((item.columns for item in patient.fields if item.name == of), ()))
        if not kinds or not values.requires_grad or values.is_complex():
            continue
        for gradient in gradients(total, [values]):
            squares = dict(zip(dict.fromkeys(kinds), by_kind(gradient, kinds).tolist(), strict=True))
            first = alone(squares)
            left = {} if of is None else errors(values, patient.late[of], kinds)
            if first is None or not any(left.get(kind, 1.0) > UNDONE for kind in squares if kind != first):
                continue
            others = [place for place, kind in enumerate(kinds) if kind != first]
            if of is not None and not _vary(values, patient.late[of], others):
                continue
            share = squares[first] / sum(squares.values())
            evidence = f"column '{first}' of output '{name}' has {share:.4%} of the squared gradient norm of all"
            found.append(ONE_COLUMN.verdict("warn", evidence, step=len(patient.rehearsal.steps)))
    return found


def _vary(values: Tensor, target: Tensor, places: Sequence[int]) -> bool:
    """Whether an output differs from item to item in some columns: the gradient of a constant says nothing of them."""
    spreads = [item.detach().reshape(-1, item.shape[-1])[:, places].float().std(dim=0) for item in (values, target)]
    return bool((spreads[0] > _SAME * spreads[1]).any())


def _kinds(values: Tensor, declared: Sequence[str]) -> Sequence[str]:
    is_table = values.ndim == 2 and 2 < values.shape[1] <= _COLUMNS
    return declared or ([str(number) for number in range(values.shape[1])] if is_table else [])
