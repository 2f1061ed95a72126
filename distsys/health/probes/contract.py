"""Data against their declaration: range, finite values, and scale (D1, D2)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from distsys.health.causes import CONDITIONING_SCALE, NOT_FINITE, OUT_OF_RANGE, SCALED_TWICE
from distsys.health.probes.patient import Patient
from distsys.health.probes.tensors import finite, is_numeric, largest, real, spread
from distsys.health.verdict import Verdict
from distsys.specs import FieldSpec

_SLACK = 1e-5
_FAR = 2.0
"""Outside its declared band by this factor the scale of a whole batch is no accident."""
_ITEM_FAR = 10.0
"""And that of one item, which varies more."""
_HIDDEN = 1e-3
"""Of the declared range: what moves less cannot be what the range was declared for."""
_APART = 10.0
"""Between training and frozen items of one field."""
_COMPARABLE, _ERRORS = 8, 5.0
"""Items on either side, and standard errors by which chance may part them."""
_SAME_UNIT = 1e3
"""Between conditioning and target of one unit: less is what signals of one kind differ by."""
_MANY, _ENOUGH = 0.25, 16
"""Share of items that another source has scaled; values of an item that have a standard deviation."""


def data_in_range(patient: Patient) -> list[Verdict]:
    """Values outside the declared range, infinite ones, and NaN that reaches a term."""
    found = []
    for progress in (0.0, 0.5, 1.0):
        batch = patient.batch(range(patient.num_items), progress)
        for item in patient.fields:
            if item.name in batch:
                found += _outside(item, batch[item.name])
    for item in patient.fields:
        if item.name in patient.frozen:
            found += _outside(item, patient.frozen[item.name], of=" of frozen items")
    found += _broken_terms(patient)
    return list({verdict.evidence.split(" holds")[0]: verdict for verdict in found}.values())


def _outside(item: FieldSpec, values: Tensor, of: str = "") -> list[Verdict]:
    if item.role != "bookkeeping" and bool(torch.isinf(real(values)).any()):
        return [NOT_FINITE.verdict("warn", f"'{item.name}'{of} holds infinite values", step=0, fix="mend the data")]
    known = finite(values)
    if not known.numel():
        return []  # nothing is known of it, which a domain may say; whether terms mind is seen below
    low, high = float(known.min()), float(known.max())
    slack = _SLACK * max([abs(end) for end in (item.low, item.high) if math.isfinite(end)], default=0.0)
    if item.low - slack <= low and high <= item.high + slack:
        return []
    evidence = f"'{item.name}'{of} holds {low:.4g} to {high:.4g} {item.unit}, declared {item.low:g} to {item.high:g}"
    return [OUT_OF_RANGE.verdict("stop", evidence, step=0)]


def _broken_terms(patient: Patient) -> list[Verdict]:
    model = patient.build()
    with torch.no_grad():
        terms = patient.loss_terms(patient.forward(model, patient.late, 0), patient.late)
    broken = [name for name, value in terms.items() if not bool(torch.isfinite(value))]
    gaps = [name for name, values in patient.late.items() if bool(torch.isnan(real(values)).any())]
    if not broken:
        return []
    because = f"; NaN in {', '.join(gaps)}" if gaps else ""
    return [NOT_FINITE.verdict("stop", f"on the first items {', '.join(broken)} not finite{because}", step=0)]


def data_scale(patient: Patient) -> list[Verdict]:
    """Standard deviations against their declared band, the declared range, frozen items, and the target's."""
    found = []
    for item in patient.fields:
        values = patient.late.get(item.name)
        if values is None or item.role == "bookkeeping" or not is_numeric(values):
            continue
        sees = [_against_band(item, values), _against_range(item, values), _against_frozen(patient, item, values)]
        found += [verdict for verdict in sees if verdict is not None][:1]
    return found + list(_against_target(patient))


def _against_band(item: FieldSpec, values: Tensor) -> Verdict | None:
    if item.spread is None:
        return None
    low, high = item.spread
    scale = spread(values)
    cause = CONDITIONING_SCALE if item.role == "conditioning" else SCALED_TWICE
    evidence = f"'{item.name}' has a standard deviation of {scale:.3g} {item.unit}, declared {low:g} to {high:g}"
    if not low / _FAR <= scale <= high * _FAR:
        return cause.verdict("stop", evidence, step=0)
    if not low <= scale <= high:
        return cause.verdict("warn", evidence, step=0)
    if values[0].numel() < _ENOUGH:
        return None
    items = [spread(row) for row in values]
    outside = sum(not low / _ITEM_FAR <= one <= high * _ITEM_FAR for one in items)
    if outside >= _MANY * len(items):
        text = f"{outside} of {len(items)} items of '{item.name}' lie {_ITEM_FAR:g} times outside {low:g} to {high:g}"
        return cause.verdict("stop", f"{text} {item.unit} (standard deviation)", step=0)
    return None


def _against_range(item: FieldSpec, values: Tensor) -> Verdict | None:
    width = item.high - item.low
    if item.spread is not None or not math.isfinite(width) or width <= 0:
        return None
    scale = spread(values)
    if 0.0 < scale < _HIDDEN * width:
        evidence = f"'{item.name}' has a standard deviation of {scale:.3g} in a declared range of {width:g} {item.unit}"
        return SCALED_TWICE.verdict("warn", evidence, step=0)
    return None


def _against_frozen(patient: Patient, item: FieldSpec, values: Tensor) -> Verdict | None:
    if item.name not in patient.frozen:
        return None
    sides = [_sizes(values), _sizes(patient.frozen[item.name])]
    if min(map(len, sides)) < _COMPARABLE:
        return None
    means = [float(side.mean()) for side in sides]
    error = math.sqrt(sum(float(side.var()) / len(side) for side in sides))
    if abs(means[0] - means[1]) <= max(math.log(_APART), _ERRORS * error):
        return None
    sizes = [math.exp(mean) for mean in means]
    evidence = f"items of '{item.name}' are of size {sizes[0]:.3g} {item.unit} in training, {sizes[1]:.3g} frozen"
    return SCALED_TWICE.verdict("stop", evidence, step=0)


def _sizes(values: Tensor) -> Tensor:
    """Logarithm of the RMS of each item that has one: recorded levels vary by factors, not by amounts."""
    rms = real(values).nan_to_num(0.0).flatten(1).square().mean(dim=1).sqrt()
    return rms[rms > 0].log()


def _against_target(patient: Patient) -> Iterator[Verdict]:
    """Conditioning of the target's own unit whose scale is another signal's."""
    for item in patient.role("conditioning"):
        for target in patient.role("target"):
            pair = patient.late[item.name], patient.late[target.name]
            if item.unit != target.unit or not all(map(is_numeric, pair)) or largest(pair[1]) == 0.0:
                continue
            ratio = spread(pair[0]) / max(spread(pair[1]), 1e-30)
            if ratio > 0.0 and not 1.0 / _SAME_UNIT <= ratio <= _SAME_UNIT:
                evidence = f"'{item.name}' varies {ratio:.3g} times as much as '{target.name}', both in {item.unit}"
                yield CONDITIONING_SCALE.verdict("warn", evidence, step=0)
