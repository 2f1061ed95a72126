"""Domains by name: those that ship and those that other packages register by entry point."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from distsys.config import Section
from distsys.domains.protocol import AnyDomain
from distsys.errors import ConfigError, did_you_mean

GROUP = "distsys.domains"


@cache
def _entries() -> dict[str, EntryPoint]:
    """Looked up once a process: reading every installed package's metadata takes 20 ms."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def domain_names() -> list[str]:
    """Every registered domain, without importing any."""
    return sorted(_entries())


def get_domain(name: str) -> AnyDomain:
    """The domain registered as ``name``.

    Raises:
        ConfigError: no such domain, or what is registered is not one.
    """
    entries = _entries()
    if name not in entries:
        raise ConfigError(
            f"unknown domain '{name}'",
            expected=f"a domain registered in the entry-point group {GROUP}",
            fix=did_you_mean(name, entries),
        )
    domain: AnyDomain = entries[name].load()()
    _check(domain, entries[name])
    return domain


def _check(domain: AnyDomain, entry: EntryPoint) -> None:
    """What a third party gets wrong first, told before anything runs."""
    problem = ""
    if not (isinstance(domain.config, type) and issubclass(domain.config, Section)):
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
