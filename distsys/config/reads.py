"""Which keys of a config are really read: what a result rests on, and whether a searched key matters at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

ConfigT = TypeVar("ConfigT", bound=BaseModel)
Note = Callable[[str], None]
"""Told the dotted path of what is read: a key, or a mapping or section of which everything counts."""


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
    """A copy of ``config`` that tells ``note`` of what is read.

    Comparing, hashing, printing, iterating and dumping a section read all of it, and so do asking a mapping for its
    length, its keys or one that it lacks; ``vars(section)`` alone is not seen. Pickled, it comes back unwatched and
    without the values that were never read, so that nothing can rest on them unnoticed.
    """
    return _watched(config, "", note)


def _watched(value: Any, prefix: str, note: Note) -> Any:
    if isinstance(value, BaseModel):
        return _watched_section(value, prefix, note)
    if isinstance(value, Mapping):
        return WatchedMapping(value, prefix, note)
    return value


def _watched_section(section: BaseModel, prefix: str, note: Note) -> BaseModel:
    kind, content = _unwatched_kind(section), object.__getattribute__(section, "__dict__")
    copy: BaseModel = _watched_kind(kind).model_construct()
    inner = {name: _watched(content[name], f"{prefix}{name}.", note) for name in kind.model_fields}
    object.__setattr__(copy, "__dict__", inner)
    object.__setattr__(copy, "__pydantic_private__", {"watch": _Watch(prefix, note, set())})
    return copy


def _unwatched_kind(section: object) -> type[BaseModel]:
    """The class of a section, watched or not."""
    class_: Any = type(section)
    kind: type[BaseModel] = getattr(class_, "__unwatched__", class_)
    return kind


@cache
def _watched_kind(kind: type[BaseModel]) -> type[BaseModel]:
    names = frozenset(kind.model_fields)
    # Where a field may hold a section or something else, which of them it is has been read as well.
    certain = {name for name, field in kind.model_fields.items() if _is_section(field.annotation)}

    def read(section: BaseModel, name: str) -> Any:
        if name not in names:
            return kind.__getattribute__(section, name)
        value = object.__getattribute__(section, "__dict__")[name]
        if name not in certain and not isinstance(value, WatchedMapping):
            watch = object.__getattribute__(section, "__pydantic_private__")["watch"]
            watch.seen.add(name)
            watch.note(f"{watch.prefix}{name}")
        return value

    def same(section: BaseModel, other: object) -> bool:
        return _unwatched_kind(other) is kind and unwatched(section) == unwatched(other)

    members: dict[str, Any] = {
        "__getattribute__": read,
        "__eq__": same,
        "__hash__": lambda section: hash(unwatched(section)),
        "__iter__": lambda section: iter(unwatched(section)),
        "__repr_args__": lambda section: unwatched(section).__repr_args__(),
        "__reduce_ex__": lambda section, protocol: (_itself, (_only_read(section),)),
        "model_dump": lambda section, **options: unwatched(section).model_dump(**options),
        "model_dump_json": lambda section, **options: unwatched(section).model_dump_json(**options),
        "__unwatched__": kind,
        "__module__": kind.__module__,
    }
    metaclass: Any = type(kind)
    return metaclass(kind.__name__, (kind,), members)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _itself(value: Any) -> Any:
    return value


def unwatched(value: Any) -> Any:
    """``value`` without watches, every part of it read."""
    if isinstance(value, BaseModel):
        kind = _unwatched_kind(value)
        content = {name: unwatched(getattr(value, name)) for name in kind.model_fields}
        return _constructed(kind, content)
    if isinstance(value, WatchedMapping):
        return {key: unwatched(inner) for key, inner in value.items()}
    return value


def _only_read(section: BaseModel) -> BaseModel:
    """``section`` without its watch, with only what was read of it."""
    seen = object.__getattribute__(section, "__pydantic_private__")["watch"].seen
    content = {
        name: value
        for name, value in object.__getattribute__(section, "__dict__").items()
        if name in seen or isinstance(value, BaseModel | WatchedMapping)
    }
    return _constructed(_unwatched_kind(section), content)


def _constructed(kind: type[BaseModel], content: dict[str, Any]) -> BaseModel:
    section = kind.model_construct()
    object.__setattr__(section, "__dict__", content)
    return section


class WatchedMapping(Mapping[str, Any]):
    """A mapping section (such as weights) that notes which of its keys are looked up."""

    def __init__(self, content: Mapping[str, Any], prefix: str, note: Note) -> None:
        plain = unwatched(content)
        self._content: dict[str, Any] = {key: _watched(value, f"{prefix}{key}.", note) for key, value in plain.items()}
        self._prefix, self._note = prefix, note
        self._seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        if key not in self._content:
            self._note_all()
        self._seen.add(key)
        self._note(f"{self._prefix}{key}")
        return self._content[key]

    def __contains__(self, key: object) -> bool:
        self._note_all()
        return key in self._content

    def __iter__(self) -> Iterator[str]:
        self._note_all()
        return iter(self._content)

    def __len__(self) -> int:
        self._note_all()
        return len(self._content)

    def __repr__(self) -> str:
        return repr(unwatched(self))

    def _note_all(self) -> None:
        self._note(self._prefix.removesuffix("."))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, ({key: value for key, value in self._content.items() if key in self._seen},)
