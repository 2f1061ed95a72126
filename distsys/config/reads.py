"""Which config keys a run really reads: a searched parameter that nothing reads is a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def record_reads(config: ConfigT) -> tuple[ConfigT, set[str]]:
    """A copy of ``config`` and the set that fills with the dotted path of every key read from it."""
    reads: set[str] = set()
    return _watched(config, "", reads), reads


def _watched(value: Any, prefix: str, reads: set[str]) -> Any:
    if isinstance(value, BaseModel):
        return _watched_model(value, prefix, reads)
    if isinstance(value, Mapping):
        return _WatchedDict(value, prefix, reads)
    return value


def _watched_model(model: BaseModel, prefix: str, reads: set[str]) -> BaseModel:
    kind = type(model)
    names = set(kind.model_fields)

    def note(instance: BaseModel, name: str) -> Any:
        if name in names:
            reads.add(f"{prefix}{name}")
        return kind.__getattribute__(instance, name)

    watched_kind: Any = type(kind.__name__, (kind,), {"__getattribute__": note, "__module__": kind.__module__})
    copy: BaseModel = watched_kind.model_construct()
    content = {name: _watched(getattr(model, name), f"{prefix}{name}.", reads) for name in names}
    object.__setattr__(copy, "__dict__", content)
    return copy


class _WatchedDict(dict[str, Any]):
    """A mapping section (such as weights) that notes which of its keys are looked up."""

    def __init__(self, content: Mapping[str, Any], prefix: str, reads: set[str]) -> None:
        super().__init__({key: _watched(value, f"{prefix}{key}.", reads) for key, value in content.items()})
        self._prefix, self._reads = prefix, reads

    def __getitem__(self, key: str) -> Any:
        self._reads.add(f"{self._prefix}{key}")
        return super().__getitem__(key)
