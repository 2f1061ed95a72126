"""Configs that differ in one key: whatever a key changes of the data, reuse must not hide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from distsys.config.schema import CoreConfig
from distsys.config.validate import with_values
from distsys.domains.protocol import DataBundle

_PROGRESS = (0.0, 0.5, 1.0)
_FEW = 4


def changed_configs(config: CoreConfig) -> Iterator[tuple[str, CoreConfig]]:
    """Each key of ``data`` and ``model`` with another value that fits, where one can be made up."""
    for section in ("data", "model"):
        for path, value, annotation in _leaves(getattr(config, section), f"{section}."):
            for other in _others(value, annotation):
                try:
                    changed = with_values(config, {path: other})
                except ValidationError:
                    continue
                yield path, changed
                break


def _leaves(section: BaseModel, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.annotation


def _others(value: Any, annotation: Any) -> list[Any]:
    """Values near ``value``, or the other words of a choice."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, 2 * value]
    if isinstance(value, float):
        return [0.9 * value, 1.1 * value, value + 0.1, value - 0.1]
    return [word for word in get_args(annotation) if isinstance(word, str) and word != value]


def difference(one: DataBundle, other: DataBundle) -> str:
    """What differs between two bundles, or nothing."""
    for progress in _PROGRESS:
        first, second = (bundle.train.batch(range(_FEW), progress=progress) for bundle in (one, other))
        if first.keys() != second.keys() or any(not _same(first[name], second[name]) for name in first):
            return f"training items at progress {progress:g}"
    for name in ("validation", "test"):
        if getattr(one, name) != getattr(other, name):
            return f"the {name} set"
    if one.statistics.keys() != other.statistics.keys() or any(
        not _same(one.statistics[name], other.statistics[name]) for name in one.statistics
    ):
        return "statistics"
    return ""


def _same(one: Tensor | list[str], other: Tensor | list[str]) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)
    return one == other
