"""Pages that are made of the code: every command, every key of a config, every metric that chooses and every term."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from distsys.cli import _parser
from distsys.config.validate import config_type
from distsys.domains.registry import domain_names, get_domain

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, and the README as the first page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    pages = {
        "index.md": readme,
        "reference/commands.md": commands(),
        "reference/config.md": config_keys(),
        "reference/metrics.md": metrics(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """What ``--help`` says of each command."""
    parser = _parser()
    (choices,) = (item for item in parser._actions if isinstance(item, argparse._SubParsersAction))
    parts = ["# Commands\n"]
    for name, command in choices.choices.items():
        parts.append(f"## {name}\n\n```text\n{command.format_help().strip()}\n```\n")
    return "\n".join(parts)


def config_keys() -> str:
    """Key, type, default and meaning: those that all domains share, then each domain's own."""
    parts = ["# Config keys\n"]
    for name in domain_names():
        schema = config_type(get_domain(name).config).model_json_schema()
        rows = [row for row in _keys(schema, schema, "") if not row.startswith("| `presets")]
        own = [row for row in rows if row.startswith(("| `data.", "| `model."))]
        if len(parts) == 1:
            shared = [row for row in rows if row not in own]
            parts.append(_table("Shared by all domains", shared))
        parts.append(_table(name, own))
    return "\n".join(parts)


def _table(title: str, rows: list[str]) -> str:
    return "\n".join([f"## {title}\n", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _keys(node: Mapping[str, Any], schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, item in node.get("properties", {}).items():
        target = _section(item, schema)
        if target is not None:
            yield from _keys(target, schema, f"{prefix}{name}.")
            continue
        meaning = " ".join(str(item.get("description", "")).split()).replace("|", "\\|")
        default = item.get("default", "required" if name in node.get("required", ()) else "")
        shown = f"`{default}`" if default != "" else ""
        yield f"| `{prefix}{name}` | {_type(item)} | {shown} | {meaning} |"


def _section(item: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    reference = item.get("$ref") or next((one["$ref"] for one in item.get("allOf", ()) if "$ref" in one), None)
    if reference is None:
        return None
    found: Mapping[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return found if "properties" in found else None


def _type(item: Mapping[str, Any]) -> str:
    if "enum" in item:
        return ", ".join(f"`{value}`" for value in item["enum"])
    if "const" in item:
        return f"`{item['const']}`"
    if "anyOf" in item:
        return " or ".join(dict.fromkeys(_type(one) for one in item["anyOf"]))
    return str(item.get("type", "value"))


def metrics() -> str:
    """What chooses a checkpoint in each domain, its bands, and its terms."""
    parts = ["# Metrics and terms\n"]
    for name in domain_names():
        domain = get_domain(name)
        spec = domain.selection
        better = "higher" if spec.direction == "max" else "lower"
        parts.append(f"## {name}\n\nChosen by `{spec.name}` in {spec.unit or '1'}; {better} is better.\n")
        rows = [f"| `{item.metric}` | {item} | {item.fix} |" for item in domain.constraints]
        parts.append("\n".join(["| constraint | band | outside it |", "|---|---|---|", *rows, ""]))
        terms = [f"| `{item.name}` | `{item.weight_name}` | {item.unit} |" for item in domain.terms]
        parts.append("\n".join(["| term | weight | unit |", "|---|---|---|", *terms, ""]))
    return "\n".join(parts)
