"""YAML files with the line of every key, refused when a key stands twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from distsys.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-3`` as a number, as YAML 1.2 does."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:float"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf|\.nan)$", re.IGNORECASE),
    list("-+.0123456789"),
)


def parse_value(text: str) -> Any:
    """The value of ``--set key=text``, by YAML's rules."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The mapping in ``path`` and the line number of every dotted key.

    Raises:
        ConfigError: the file is missing, is not YAML, is not a mapping, or names a key twice.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", expected="a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}", expected="a YAML mapping") from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}: holds no mapping", expected="'key: value' lines")
    lines: dict[str, int] = {}
    _index_lines(node, "", lines, path)
    values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    return values, lines


def _index_lines(node: yaml.MappingNode, prefix: str, lines: dict[str, int], path: Path) -> None:
    for key_node, value_node in node.value:
        dotted = f"{prefix}{key_node.value}"
        line = key_node.start_mark.line + 1
        if dotted in lines:
            raise ConfigError(
                f"{path}:{line}: '{dotted}' stands twice (first on line {lines[dotted]})",
                expected="each key once",
                fix="delete one of the two",
            )
        lines[dotted] = line
        if isinstance(value_node, yaml.MappingNode):
            _index_lines(value_node, f"{dotted}.", lines, path)
