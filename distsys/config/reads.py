"""Which keys of a config are really read: what a result rests on, and whether a searched key matters at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

ConfigT = TypeVar("ConfigT", bound=BaseModel)
Note = Callable[[str], None]
"""Told the dotted path of a key when it is read."""


class _Watch(NamedTuple):
    prefix: str
    note: Note
    seen: set[str]
    """Fields that were read, by their names."""


def record_reads(config: ConfigT) -> tuple[ConfigT, set[str]]:
    """A copy of ``config`` and the set that fills with the dotted path of every key read from it."""
    reads: set[str] = set()
    return watched(config, reads.add), reads


def watched(config: ConfigT, note: Note) -> ConfigT:
    """A copy of ``config`` that tells ``note`` of every value read.

    Comparing, hashing and dumping a section read all of it. Pickled, it comes back unwatched and without the values
    that were never read, so that nothing can rest on them unnoticed.
    """
    return _watched(config, "", note)


def _watched(value: Any, prefix: str, note: Note) -> Any:
    if isinstance(value, BaseModel):
        return _watched_model(value, prefix, note)
    if isinstance(value, Mapping):
        return _WatchedDict(value, prefix, note)
    return value


def _watched_model(model: BaseModel, prefix: str, note: Note) -> BaseModel:
    kind, content = _kind_of(model), object.__getattribute__(model, "__dict__")
    copy: BaseModel = _watched_kind(kind).model_construct()
    inner = {name: _watched(content[name], f"{prefix}{name}.", note) for name in kind.model_fields}
    object.__setattr__(copy, "__dict__", inner)
    object.__setattr__(copy, "__pydantic_private__", {"watch": _Watch(prefix, note, set())})
    return copy


def _kind_of(model: object) -> type[BaseModel]:
    """The class of a section, watched or not."""
    class_: Any = type(model)
    kind: type[BaseModel] = getattr(class_, "__unwatched__", class_)
    return kind


@cache
def _watched_kind(kind: type[BaseModel]) -> type[BaseModel]:
    names = frozenset(kind.model_fields)

    def read(instance: BaseModel, name: str) -> Any:
        if name not in names:
            return kind.__getattribute__(instance, name)
        value = object.__getattribute__(instance, "__dict__")[name]
        if not isinstance(value, BaseModel | _WatchedDict):
            watch = object.__getattribute__(instance, "__pydantic_private__")["watch"]
            watch.seen.add(name)
            watch.note(f"{watch.prefix}{name}")
        return value

    def same(instance: BaseModel, other: object) -> bool:
        return _kind_of(other) is kind and _read_all(instance) == _read_all(other)

    members: dict[str, Any] = {
        "__getattribute__": read,
        "__eq__": same,
        "__hash__": lambda instance: hash(_read_all(instance)),
        "__reduce_ex__": lambda instance, protocol: (_same, (_only_read(instance),)),
        "model_dump": lambda instance, **options: _read_all(instance).model_dump(**options),
        "__unwatched__": kind,
        "__module__": kind.__module__,
    }
    metaclass: Any = type(kind)
    return metaclass(kind.__name__, (kind,), members)


def _same(value: Any) -> Any:
    return value


def _read_all(value: Any) -> Any:
    """``value`` without watches, every part of it read."""
    if isinstance(value, BaseModel):
        kind = _kind_of(value)
        plain = kind.model_construct()
        content = {name: _read_all(getattr(value, name)) for name in kind.model_fields}
        object.__setattr__(plain, "__dict__", content)
        return plain
    if isinstance(value, _WatchedDict):
        return {key: _read_all(inner) for key, inner in value.items()}
    return value


def _only_read(section: BaseModel) -> BaseModel:
    """``section`` without its watch, with only what was read of it."""
    plain = _kind_of(section).model_construct()
    seen = object.__getattribute__(section, "__pydantic_private__")["watch"].seen
    content = {
        name: value
        for name, value in object.__getattribute__(section, "__dict__").items()
        if name in seen or isinstance(value, BaseModel | _WatchedDict)
    }
    object.__setattr__(plain, "__dict__", content)
    return plain


class _WatchedDict(dict[str, Any]):
    """A mapping section (such as weights) that notes which of its keys are looked up."""

    def __init__(self, content: Mapping[str, Any], prefix: str, note: Note) -> None:
        plain = dict(content) if not isinstance(content, _WatchedDict) else dict(dict.items(content))
        super().__init__({key: _watched(value, f"{prefix}{key}.", note) for key, value in plain.items()})
        self._prefix, self._note = prefix, note
        self._seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self._seen.add(key)
        self._note(f"{self._prefix}{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self.keys() else default

    def items(self) -> Any:
        return {key: self[key] for key in self}.items()

    def values(self) -> Any:
        return {key: self[key] for key in self}.values()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, ({key: value for key, value in super().items() if key in self._seen},)
