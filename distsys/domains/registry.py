"""Domains by name: those that ship and those that other packages register by entry point."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from distsys.config import Section
from distsys.domains.protocol import AnyDomain, Domain
from distsys.errors import ConfigError, did_you_mean

GROUP = "distsys.domains"


@cache
def _entries() -> dict[str, EntryPoint]:
    """Looked up once a process: reading every installed package's metadata takes 20 ms."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def domain_names() -> list[str]:
    """Every registered domain, without importing any."""
    return sorted(_entries())


def domain_homes() -> tuple[Path, ...]:
    """Folders of the packages that register a domain: configs that they ship lie there; no domain is imported."""
    return tuple(dict.fromkeys(home for entry in _entries().values() for home in _homes(entry)))


def _homes(entry: EntryPoint) -> Iterator[Path]:
    """The package of the domain's module, then those around it: finding the top one imports nothing."""
    top, *inner = entry.module.split(".")
    spec = find_spec(top)
    for place in (spec.submodule_search_locations if spec else None) or ():
        for depth in range(len(inner), -1, -1):
            home = Path(place, *inner[:depth])
            if home.is_dir():
                yield home


def get_domain(name: str) -> AnyDomain:
    """The domain registered as ``name``.

    Raises:
        ConfigError: no such domain, or what is registered is not one or cannot be loaded.
    """
    entries = _entries()
    if name not in entries:
        raise ConfigError(
            f"unknown domain '{name}'",
            expected=f"a domain registered in the entry-point group {GROUP}",
            fix=did_you_mean(name, entries),
        )
    domain = _loaded(entries[name])
    _check(domain, entries[name])
    return domain


def _loaded(entry: EntryPoint) -> AnyDomain:
    try:
        domain: AnyDomain = entry.load()()
    except Exception as error:
        raise ConfigError(
            f"domain '{entry.name}' ({entry.value}) cannot be loaded: {type(error).__name__}: {error}",
            fix="mend its package, or uninstall it; --debug shows where",
        ) from error
    return domain


def _check(domain: AnyDomain, entry: EntryPoint) -> None:
    """What a third party gets wrong first, told before anything runs."""
    problem = ""
    members = sorted({*Domain.__annotations__, *(name for name in vars(Domain) if not name.startswith("_"))})
    if missing := [name for name in members if not hasattr(domain, name)]:
        problem = f"it has no {', '.join(missing)}"
    elif not (isinstance(domain.config, type) and issubclass(domain.config, Section)):
        problem = "its config is not a distsys.config.Section"
    elif set(domain.config.model_fields) != {"data", "model"}:
        problem = f"its config has fields {sorted(domain.config.model_fields)}, not exactly 'data' and 'model'"
    elif domain.name != entry.name:
        problem = f"it calls itself '{domain.name}'"
    elif len({term.name for term in domain.terms}) != len(domain.terms) or not domain.terms:
        problem = "its terms are empty or share a name"
    elif len({field.name for field in domain.fields}) != len(domain.fields) or not domain.fields:
        problem = "its fields are empty or share a name"
    if problem:
        raise ConfigError(f"domain '{entry.name}' ({entry.value}): {problem}", fix="see distsys/domains/protocol.py")
