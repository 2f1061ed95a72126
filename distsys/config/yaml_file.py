"""YAML files with the line of every key, refused when a key stands twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from distsys.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads scalars as YAML 1.2 does: ``1e-3`` is a number, ``0400``, ``10:00`` and ``on`` are text."""


_PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
_REPLACED = {f"tag:yaml.org,2002:{name}" for name in [*_PLAIN, "timestamp"]}
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] not in _REPLACED]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))
_MERGE, _DATE = "tag:yaml.org,2002:merge", re.compile(r"\d{4}-\d\d?-\d\d?")


def parse_value(text: str) -> Any:
    """The value of ``--set key=text``, by YAML's rules."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The mapping in ``path`` and the line number of every dotted key.

    Raises:
        ConfigError: the file is missing, is not YAML, is not a mapping, names a key twice, or holds what no config has:
            tags, keys that are no text, an anchor within itself, a date.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", expected="a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}", expected="a YAML mapping") from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}: holds no mapping", expected="'key: value' lines")
    lines: dict[str, int] = {}
    index = _Index(path, lines)
    index.mapping(node, "", within=())
    values: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    return values, lines


class _Index:
    """Finds the line of every key, and what cannot be read."""

    def __init__(self, path: Path, lines: dict[str, int]) -> None:
        self._path, self._lines = path, lines

    def mapping(self, node: yaml.MappingNode, prefix: str, *, within: tuple[int, ...]) -> None:
        """The keys of ``node``, and of those merged into it that it does not have itself."""
        self._require_plain(node, within)
        merged = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged.append((key, value))
                continue
            self._require_text(key)
            dotted = f"{prefix}{key.value}"
            self._note_once(dotted, key)
            self._value(value, dotted, within=(*within, id(node)))
        for key, value in merged:
            self._merged(key, value, prefix, within=(*within, id(node)))

    def _value(self, node: yaml.Node, dotted: str, *, within: tuple[int, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            self.mapping(node, f"{dotted}.", within=within)
            return
        self._require_plain(node, within)
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._value(item, f"{dotted}[{number}]", within=(*within, id(node)))

    def _merged(self, key: yaml.Node, value: yaml.Node, prefix: str, *, within: tuple[int, ...]) -> None:
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                raise self._refused(key, "'<<' merges no mapping", fix="name an anchor of one: <<: *anchor")
            inner: dict[str, int] = {}
            _Index(self._path, inner).mapping(part, prefix, within=within)
            for dotted, line in inner.items():
                self._lines.setdefault(dotted, line)

    def _require_text(self, key: yaml.Node) -> None:
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            shown = f"the key {key.value}" if isinstance(key, yaml.ScalarNode) else "a list or mapping as a key"
            raise self._refused(key, shown, expected="text as a key", fix="mend it, or put it in quotes")

    def _require_plain(self, node: yaml.Node, within: tuple[int, ...]) -> None:
        if id(node) in within:
            raise self._refused(node, "an anchor that holds itself", fix="write its value out")
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise self._refused(node, f"the tag {node.tag}", expected="plain values", fix="write the value out")
        is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if is_plain and _DATE.fullmatch(node.value):
            raise self._refused(
                node, f"the date {node.value}", expected="text or a number", fix=f"'{node.value}' is text"
            )

    def _note_once(self, dotted: str, key: yaml.Node) -> None:
        if dotted in self._lines:
            raise self._refused(
                key,
                f"'{dotted}' stands twice (first on line {self._lines[dotted]})",
                expected="each key once",
                fix="delete one of the two",
            )
        self._lines[dotted] = key.start_mark.line + 1

    def _refused(self, node: yaml.Node, found: str, *, expected: str = "", fix: str = "") -> ConfigError:
        return ConfigError(f"{self._path}:{node.start_mark.line + 1}: {found}", expected=expected, fix=fix)
