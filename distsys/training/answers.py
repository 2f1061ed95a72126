"""What a domain's methods give, looked at before anything is made of it: a mistake is told in the domain's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import AnyDomain, Baseline, Evaluation
from distsys.errors import ConfigError


def require_terms(domain: AnyDomain, outputs: object, terms: object) -> None:
    """What ``forward`` and ``loss_terms`` gave is what the domain declares: a tensor without dimensions a term.

    Raises:
        ConfigError: with the term that is not.
    """
    _require(domain, "forward", isinstance(outputs, Mapping), _kind(outputs), "a mapping of names to tensors")
    _require(domain, "loss_terms", isinstance(terms, Mapping), _kind(terms), "a mapping of terms to tensors")
    assert isinstance(terms, Mapping)
    declared = {term.name for term in domain.terms}
    if terms.keys() != declared:
        missing, more = sorted(declared - terms.keys()), sorted(terms.keys() - declared)
        found = [f"no term {', '.join(missing)}"] * bool(missing) + [f"an undeclared term {', '.join(more)}"] * bool(
            more
        )
        _require(domain, "loss_terms", False, " and ".join(found), f"the terms {', '.join(sorted(declared))}")
    for name, value in terms.items():
        is_scalar = isinstance(value, Tensor) and value.ndim == 0
        shown = f"{name} of shape {list(value.shape)}" if isinstance(value, Tensor) else f"{name}, {_kind(value)}"
        _require(domain, "loss_terms", is_scalar, shown, "one number a term, as a tensor", fix="take its mean()")


def require_evaluation(domain: AnyDomain, found: object) -> None:
    """``evaluate`` gave plain numbers, and an array of one value an item.

    Raises:
        ConfigError: with what is otherwise.
    """
    _require(domain, "evaluate", isinstance(found, Evaluation), _kind(found), "an Evaluation")
    assert isinstance(found, Evaluation)
    items = found.items
    shown = f"items of shape {list(items.shape)}" if hasattr(items, "shape") else f"items, {_kind(items)}"
    shown += " on a device" if isinstance(items, Tensor) else ""
    is_array = isinstance(items, np.ndarray) and items.ndim == 1 and len(items) > 0
    _require(domain, "evaluate", is_array, shown, "a NumPy array [items]", fix=".cpu().numpy()")
    for name, value in found.metrics.items():
        is_number = isinstance(value, int | float | np.floating | np.integer)
        _require(domain, "evaluate", is_number, f"{name}, {_kind(value)}", "plain numbers as metrics", fix="float(...)")


def require_baselines(domain: AnyDomain, rows: object) -> None:
    """``baselines`` gave a mapping of names to rows.

    Raises:
        ConfigError: with what is otherwise.
    """
    _require(domain, "baselines", isinstance(rows, Mapping), _kind(rows), "a mapping of names to Baseline")
    assert isinstance(rows, Mapping)
    for name, row in rows.items():
        _require(domain, "baselines", isinstance(row, Baseline), f"{name}, {_kind(row)}", "a Baseline a row")


def require_finite_terms(domain: AnyDomain, terms: Mapping[str, float], *, where: str) -> None:
    """No term begins as NaN or infinity.

    Raises:
        ConfigError: with those that do.
    """
    broken = [name for name, value in terms.items() if not np.isfinite(value)]
    shown = f"{', '.join(broken)} not finite {where}"
    _require(domain, "loss_terms", not broken, shown, "finite terms from the first step on")


def _require(domain: AnyDomain, method: str, is_kept: bool, found: str, expected: str, *, fix: str = "") -> None:
    if not is_kept:
        raise ConfigError(f"'{domain.name}'.{method} gave {found}", expected=expected, fix=fix)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}" if not isinstance(value, torch.Tensor) else f"a tensor {list(value.shape)}"
