"""A domain of one's own to start from: an installable package, written from the template beside this file."""

from __future__ import annotations

import keyword
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from string import Template

from distsys.config.yaml_file import parse_value
from distsys.domains.registry import domain_names
from distsys.errors import UsageError

_TEMPLATE = Path(__file__).parent / "template"
_SUFFIX = ".txt"
"""Of every file of the template: what it holds is no module until it has a name."""


def write_domain(name: str, parent: Path) -> list[Path]:
    """Write the package of a domain ``name`` into ``parent / name``; gives its files, relative to ``parent``.

    Raises:
        UsageError: the name is no module's or is taken, or the folder exists or cannot be written.
    """
    _require_name(name)
    target = parent / name
    if target.exists():
        raise UsageError(
            f"{target}: exists already",
            expected="a folder that new-domain makes itself",
            fix="take another name, or another parent with --to DIR",
        )
    if not parent.is_dir():
        raise UsageError(f"--to {parent}: no such folder", expected="a folder that exists", fix="make it first")
    _require_free(name)
    partial = parent / f".{name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for path, text in _files(name):
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_text(text, encoding="utf-8")
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UsageError(f"{target}: {error.strerror}", expected="a folder that can be written") from None
    return [target.relative_to(parent) / path for path, _ in _files(name)]


def _require_name(name: str) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or parse_value(name) != name:
        raise UsageError(
            f"'{name}' cannot name a domain",
            expected="small letters, digits and _, a letter first, no word of Python's or YAML's: it names a package",
            fix=f"distsys new-domain {_near(name)}",
        )


def _require_free(name: str) -> None:
    if name in domain_names():
        raise UsageError(
            f"the domain '{name}' exists already",
            expected="a name that 'distsys domains' does not list",
            fix="take another name",
        )
    spec = find_spec(name)
    if spec is not None and spec.origin is not None:
        raise UsageError(
            f"'{name}' is a module that is installed already",
            expected="a name that no other package has",
            fix=f"distsys new-domain my_{name}",
        )


def _near(name: str) -> str:
    """A name that would do."""
    words = re.sub("[^a-z0-9]+", "_", re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
    is_free = words[:1].isalpha() and not keyword.iskeyword(words) and parse_value(words) == words
    return words if is_free else f"my_{words or 'domain'}"


def _files(name: str) -> Iterator[tuple[Path, str]]:
    """Path below the package's folder, and content, of each file."""
    class_name = "".join(word.capitalize() for word in name.split("_"))
    words = {"name": name, "class_name": class_name, "project": name.replace("_", "-").strip("-")}
    for source in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        path = source.relative_to(_TEMPLATE).as_posix().removesuffix(_SUFFIX).replace("NAME", name)
        yield Path(path), Template(source.read_text(encoding="utf-8")).substitute(words)
