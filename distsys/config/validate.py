"""From layers to a validated config, with every problem of the file reported at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError, create_model

from distsys.config.layers import Layers, leaves, set_path
from distsys.config.schema import CoreConfig
from distsys.errors import ConfigError, DistsysError, did_you_mean

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def config_type(domain_config: type[BaseModel]) -> type[CoreConfig]:
    """The full schema of an experiment: the shared part and a domain's ``data`` and ``model``."""
    return _joined(domain_config)


class _Joined(CoreConfig):
    """A config whose class is made at run time, and that can be pickled all the same."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _unpickled, (type(self).__bases__[1], dict(self.__dict__))


def _unpickled(domain_config: type[BaseModel], content: dict[str, Any]) -> CoreConfig:
    config = config_type(domain_config).model_construct()
    object.__setattr__(config, "__dict__", content)
    return config


@cache
def _joined(domain_config: type[BaseModel]) -> type[CoreConfig]:
    """Made once a process, so that configs of a domain are all of one class."""
    assert set(domain_config.model_fields) == {"data", "model"}, "a domain's config holds data and model"
    bases: Any = (_Joined, domain_config)
    schema: type[CoreConfig] = create_model("ExperimentConfig", __base__=bases)
    return schema


def validate_layers(layers: Layers, schema: type[ConfigT], also: Sequence[DistsysError] = ()) -> ConfigT:
    """The config that ``layers`` describe; ``also`` are problems the caller found in them.

    Raises:
        ConfigError: with one line for every key that is unknown, missing or out of range.
    """
    problems: list[DistsysError] = []
    config: ConfigT | None = None
    try:
        config = schema.model_validate(layers.values)
    except ValidationError as error:
        problems = [_problem(item, layers, schema) for item in error.errors()]
    if problems or also or config is None:
        raise ConfigError.collect(str(layers.file), [*problems, *also])
    return config


def with_values(config: ConfigT, values: Mapping[str, Any]) -> ConfigT:
    """``config`` with the dotted paths in ``values`` replaced, validated again.

    Raises:
        pydantic.ValidationError: a value does not fit the schema.
    """
    content = dump(config)
    for path, value in values.items():
        set_path(content, path, value)
    return type(config).model_validate(content)


def dump(config: BaseModel) -> dict[str, Any]:
    """``config`` as plain values that validate back to the same config."""
    content: dict[str, Any] = _plain(config.model_dump(mode="python", by_alias=True))
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def numbers_of(config: BaseModel) -> dict[str, Any]:
    """What of ``config`` decides the numbers of a run: not who makes batches or shares a GPU, what was accepted,
    nor how many trials the search has.

    Keys that once were not there count where they differ from what was done then, so that older runs keep their names.
    """
    content = dump(config)
    content.pop("feeding")
    content["search"].pop("trials")
    content["search"].pop("gpus_per_trial")
    content["search"].pop("workers_per_trial")
    content["health"].pop("accept")
    for name, as_before in (("accumulate", 1), ("compile", False)):
        if content[name] == as_before:
            content.pop(name)
    return content


def fingerprint(content: Mapping[str, Any]) -> str:
    """A hash of plain values that does not depend on the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def provenance(config: BaseModel, layers: Layers) -> list[tuple[str, Any, str]]:
    """Dotted path, value and source of everything in the resolved config."""
    return [(path, value, _source(path, layers.sources)) for path, value in leaves(dump(config))]


def _source(path: str, sources: Mapping[str, str]) -> str:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if found := sources.get(".".join(parts[:length])):
            return found
    return "default"


def _problem(item: Any, layers: Layers, schema: type[BaseModel]) -> DistsysError:
    path = ".".join(str(part) for part in item["loc"])
    where = _source(path, layers.sources)
    place = "" if where == "default" else f" ({where})"
    kind, found = item["type"], _shown(item["input"])
    if kind == "extra_forbidden":
        fix = did_you_mean(str(item["loc"][-1]), _siblings(schema, item["loc"][:-1]))
        return DistsysError(f"unknown key '{path}'{place}", fix=fix)
    if kind == "missing":
        return DistsysError(f"'{path}' is missing", expected="a value for this key")
    message = plain_message(item)
    if kind == "value_error" and isinstance(item["input"], Mapping):
        return DistsysError(f"{path}: {message}{place}" if path else message)
    expected = {"int_type": "a whole number", "float_type": "a number", "bool_type": "true or false"}
    fix = ""
    if kind == "literal_error" and isinstance(item["input"], str):
        options = str(item["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        fix = did_you_mean(item["input"], options)
    return DistsysError(f"{path} = {found}{place}", expected=expected.get(kind, message), fix=fix)


def plain_message(item: Any) -> str:
    """pydantic's words for one of its errors, without their preamble."""
    return str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _siblings(schema: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names that would have been accepted at ``location``."""
    model: Any = schema
    for part in location:
        field = model.model_fields.get(part)
        if field is None:
            return []
        options = [field.annotation, *get_args(field.annotation)]
        model = next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if model is None:
            return []
    return [field.alias or name for name, field in model.model_fields.items()]
