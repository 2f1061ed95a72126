"""JSON Schemas of configs and search spaces, for editors that complete and check YAML."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from distsys.config.space import Dimension, can_be_searched

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema(kind: type[BaseModel], *, weights: Sequence[str], title: str) -> dict[str, Any]:
    """The schema of a config file whose experiments are of ``kind``: its own values and its presets.

    Args:
        weights: ``lambda_<term>`` of every term of the domain.
    """
    schema = kind.model_json_schema(by_alias=True)
    for definition in schema["$defs"].values():
        if "weights" in definition.get("properties", {}):
            weight = definition["properties"]["weights"].pop("additionalProperties")
            number = {"type": "number", "minimum": 0.0, "description": "The same weight from first to last step."}
            either = {"anyOf": [number, weight]}
            definition["properties"]["weights"] |= {
                "properties": dict.fromkeys(weights, either),
                "required": list(weights),
                "additionalProperties": False,
            }
    partial = {f"Partial{name}": _without_required(item) for name, item in copy.deepcopy(schema["$defs"]).items()}
    preset = _without_required({key: copy.deepcopy(schema[key]) for key in ("properties", "additionalProperties")})
    schema["$defs"] |= partial
    schema["properties"]["presets"] = {
        "type": "object",
        "description": "Sizes by name: what they hold replaces the file's own values.",
        "additionalProperties": preset,
    }
    return {"$schema": _DIALECT, **schema, "title": title}


def space_schema(kind: type[BaseModel], *, weights: Sequence[str], title: str) -> dict[str, Any]:
    """The schema of a search space over configs of ``kind``: dotted paths of what can be searched, and their ranges."""
    paths = [path for path in _paths(kind) if can_be_searched(path)]
    paths += [f"search.weights.{weight}" for weight in weights]
    return {
        "$schema": _DIALECT,
        "title": title,
        "type": "object",
        "properties": {path: {"$ref": "#/$defs/Dimension"} for path in paths},
        "additionalProperties": False,
        "$defs": {"Dimension": Dimension.model_json_schema()},
    }


def _paths(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _paths(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _without_required(schema: Any) -> Any:
    """``schema`` and all it refers to, with nothing that must be there."""
    if isinstance(schema, dict):
        kept = {key: _without_required(value) for key, value in schema.items() if key != "required"}
        if "$ref" in kept:
            kept["$ref"] = kept["$ref"].replace("#/$defs/", "#/$defs/Partial")
        return kept
    return [_without_required(item) for item in schema] if isinstance(schema, list) else schema
