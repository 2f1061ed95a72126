"""A config is a stack of layers (file, preset, ``--set``) in which every value knows its source."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from distsys.config.yaml_file import parse_value, read_yaml
from distsys.errors import ConfigError, UsageError, did_you_mean


@dataclass(frozen=True)
class Layers:
    """Merged values, and for each dotted path of a leaf where it came from."""

    values: dict[str, Any]
    sources: dict[str, str]
    file: Path


def read_layers(path: Path, *, preset: str | None, overrides: Sequence[str]) -> Layers:
    """Merge the file's own values, one of its presets and ``key=value`` overrides.

    Raises:
        ConfigError: the file cannot be read, or a preset or override is malformed.
    """
    content, lines = read_yaml(path)
    presets = content.pop("presets", {}) or {}
    for name, values in presets.items() if isinstance(presets, dict) else [("presets", presets)]:
        if not isinstance(values, dict):
            line = lines.get(f"presets.{name}", lines.get("presets", "?"))
            raise ConfigError(f"{path}:{line}: the preset '{name}' holds no keys", fix="give it some, or take it out")
    layers = Layers({}, {}, path)
    _merge(layers, content, lambda key: f"{path.name}:{lines.get(key, '?')}")
    if preset is not None:
        if preset not in presets:
            raise UsageError(f"{path}: no preset '{preset}'", expected=did_you_mean(preset, presets))
        mark = f"presets.{preset}."
        _merge(layers, presets[preset], lambda key: f"preset {preset} ({path.name}:{lines.get(mark + key, '?')})")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {override}", expected="--set key=value, e.g. --set search.trials=4")
        if not text:
            raise UsageError(
                f"--set {override}: no value after '='",
                expected="--set key=value",
                fix=f"--set {key}=null has the key empty; an empty variable of the shell looks like this too",
            )
        try:
            value = parse_value(text)
        except Exception as error:
            raise UsageError(f"--set {override}: the value is not YAML ({error})") from error
        _merge(layers, nest({key: value}), lambda key: f"--set {key}")
    return layers


def _merge(layers: Layers, values: Mapping[str, Any], source: Any) -> None:
    for path, value in leaves(values):
        for known in [key for key in layers.sources if key.startswith(f"{path}.")]:
            del layers.sources[known]
        set_path(layers.values, path, copy.deepcopy(value))
        layers.sources[path] = source(path)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of everything in ``values`` that is not a non-empty mapping."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and not _is_schedule(value):
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def _is_schedule(value: Mapping[str, Any]) -> bool:
    """A weight's schedule is one value: a preset replaces it whole."""
    return bool({"to", "times"} & set(value))


def set_path(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the dotted ``path`` in nested mappings, making those that are missing."""
    *parents, last = path.split(".")
    for parent in parents:
        inner = values.get(parent)
        if not isinstance(inner, dict):
            inner = values[parent] = {}
        values = inner
    values[last] = value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings out of dotted paths."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        set_path(nested, path, value)
    return nested


def get_path(config: BaseModel, path: str) -> Any:
    """The value at a dotted ``path`` of a validated config; KeyError when there is none."""
    node: Any = config
    for part in path.split("."):
        if isinstance(node, BaseModel) and part in type(node).model_fields:
            node = getattr(node, part)
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        else:
            raise KeyError(path)
    return node


def find_config(name: str, *, folder: str = "configs", homes: Sequence[Path] = ()) -> Path:
    """A config by path, or a shipped one by its bare name.

    Args:
        folder: its kind's, here and where configs are shipped.
        homes: other packages that may ship it, in a folder of that name.

    Raises:
        ConfigError: neither exists.
    """
    given = Path(name)
    if given.suffix in {".yaml", ".yml"} or given.is_file():
        return given.absolute()
    package = Path(__file__).resolve().parents[1]
    places = [home / folder for home in (Path.cwd(), package.parent, package / "shipped", *homes)]
    for place in places:
        if (place / f"{name}.yaml").is_file():
            return place / f"{name}.yaml"
    shipped = {path.stem for place in places for path in place.glob("*.yaml")}
    raise ConfigError(
        f"no config '{name}'",
        expected="the path of a YAML file, or the name of a shipped one",
        fix=did_you_mean(name, shipped),
    )
