"""A YAML file that says which speaker folders belong to one person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from distsys.errors import DataError, did_you_mean


def read_aliases(path: Path | None, *, folders: Sequence[str]) -> Mapping[str, str]:
    """Person by folder; empty without a file.

    Raises:
        DataError: the file is no mapping of ``folders`` to persons, or leads on from a person to another.
    """
    if path is None:
        return {}
    content = _read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(item, str) for pair in content.items() for item in pair):
        raise DataError(f"{path}: not a mapping of names", expected="lines such as 'spk_17: anna'")
    for name, person in content.items():
        if name not in folders:
            raise DataError(f"{path}: no speaker folder '{name}'", fix=did_you_mean(name, folders))
        if content.get(person, person) != person:
            raise DataError(
                f"{path}: '{name}: {person}', and '{person}: {content[person]}'",
                expected="one name for a person",
                fix=f"'{name}: {content[person]}'",
            )
    return content


def _read_yaml(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, yaml.BaseLoader)  # noqa: S506  # a safe loader; names stay text where they are digits
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="a YAML file: folder to person") from None
