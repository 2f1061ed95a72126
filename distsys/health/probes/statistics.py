"""Stored statistics against those of what the loader yields (D3), and columns that share one scale (D22)."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from distsys.health.causes import MIXED_UNITS, STALE_STATISTICS
from distsys.health.probes.patient import Patient
from distsys.health.probes.tensors import finite, is_numeric, real, spread
from distsys.health.verdict import Verdict

_FACTOR, _LARGE_FACTOR = 1.5, 10.0
_ERRORS = 6.0
"""Standard errors by which chance may move a statistic of a few items."""
_UNIT = 0.3
"""How far from mean 0 and standard deviation 1 what was standardised may lie."""
_COLUMNS = 64
"""More of them are samples of a signal, not quantities, where nothing is declared."""
_RANGE = 100.0
"""Between standard deviations of columns that share one scale."""


def stored_statistics(patient: Patient) -> list[Verdict]:
    """Statistics named ``<field>_std``, ``std_<field>`` (or mean, rms) against the training items."""
    found = []
    for item in patient.fields:
        values = patient.late.get(item.name)
        if values is None or not is_numeric(values) or _is_standard(values):
            continue
        for kind in ("std", "rms", "mean"):
            stored = _stored(patient.statistics, item.name, kind)
            if stored is not None and (verdict := _compared(item.name, kind, stored, values)):
                found.append(verdict)
    return found


def _is_standard(values: Tensor) -> bool:
    """Whether the loader yields what was already divided by its statistics."""
    known = finite(values)
    return known.numel() > 0 and abs(float(known.mean())) < _UNIT and abs(spread(values) - 1.0) < _UNIT


def _stored(statistics: Any, name: str, kind: str) -> float | None:
    """The statistic as one number; None where there is none, or one a column."""
    pattern = re.compile(rf"^({re.escape(name)}_{kind}|{kind}_{re.escape(name)})$")
    for key, value in statistics.items():
        if isinstance(value, Tensor) and value.numel() == 1 and pattern.match(key):
            return float(value)
    return None


def _compared(name: str, kind: str, stored: float, values: Tensor) -> Verdict | None:
    rows = real(values).flatten(1)
    scale = max(spread(values), 1e-30)
    measured = {"std": scale, "rms": float(rows.square().mean().sqrt()), "mean": float(rows.mean())}[kind]
    evidence = f"stored {kind} of '{name}' is {stored:.4g}, that of {len(rows)} training items {measured:.4g}"
    if not math.isfinite(stored):
        return STALE_STATISTICS.verdict("stop", evidence, step=0)
    if kind == "mean":
        error = float(rows.mean(dim=1).std()) / math.sqrt(len(rows)) if len(rows) > 1 else scale
        apart = abs(stored - measured)
        return STALE_STATISTICS.verdict("warn", evidence, step=0) if apart > max(_ERRORS * error, scale) else None
    power = rows.square().mean(dim=1)
    error = float(power.std() / power.mean().clamp(min=1e-30)) / (2.0 * math.sqrt(len(rows))) if len(rows) > 1 else 1.0
    ratio = max(measured, 1e-30) / max(abs(stored), 1e-30)
    apart = abs(math.log(ratio))
    if apart <= max(math.log(_FACTOR), _ERRORS * error):
        return None
    far = apart > max(math.log(_LARGE_FACTOR), 2 * _ERRORS * error)
    return STALE_STATISTICS.verdict("stop" if far else "warn", f"{evidence}: {ratio:.3g} times", step=0)


def column_ranges(patient: Patient) -> list[Verdict]:
    """Columns of one field that vary by very different amounts: one scale over dB, Hz and Q together."""
    found = []
    for item in patient.role("input", "noisy input", "conditioning", "target"):
        values = patient.late[item.name]
        is_table = values.ndim == 2 and 1 < values.shape[1] <= _COLUMNS
        if not is_numeric(values) or values.is_complex() or not (is_table or item.columns):
            continue
        spreads = real(values).nan_to_num(0.0).reshape(-1, values.shape[-1]).std(dim=0, correction=0)
        varying = spreads[spreads > 1e-9 * spreads.max()]
        if len(varying) < 2 or float(varying.max() / varying.min()) < _RANGE:
            continue
        many, few = int(torch.argmax(spreads)), int(torch.argmin(spreads.masked_fill(spreads == 0, math.inf)))
        names = item.columns or [str(number) for number in range(len(spreads))]
        evidence = f"column {names[many]} of '{item.name}' varies by {float(varying.max()):.3g} {item.unit}"
        text = f"{evidence}, column {names[few]} by {float(varying.min()):.3g}"
        found.append(MIXED_UNITS.verdict("stop" if item.columns else "warn", text, step=0))
    return found
