"""Which names mean one earthquake: catalogues write them with years, numbers, countries, or as a network's id.

Two records that may be of one earthquake are taken for one: a fold that holds both cannot leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import combinations
from typing import NamedTuple

ALIASES: Mapping[str, str] = {
    "ci3144585": "northridge",
    "ci38457511": "ridgecrest mainshock",
    "ridgecrest m7 1": "ridgecrest mainshock",
    "nc216859": "loma prieta",
}
"""Ids of the ANSS catalogue, and other names, of earthquakes that people know by a name."""
_YEAR = re.compile(r"\b(18|19|20)\d\d\b")
_NUMBER = re.compile(r"^(.*\D)\s(\d{1,2})$")


class Name(NamedTuple):
    """A name without what catalogues add, and the number that tells shocks of one sequence apart, if it has one."""

    base: str
    number: int | None


class Named(NamedTuple):
    """What a record says: the name of its event, and whose name that is (one catalogue names every shock once)."""

    source: str
    event: str


@cache
def name_of(event: str) -> Name:
    """``Imperial Valley-06``, ``Imperial Valley (1979)`` and ``imperial valley`` have one base."""
    plain = " ".join(re.sub(r"[^\w]+|_", " ", event.casefold()).split())
    plain = ALIASES.get(plain, plain)
    without_year = " ".join(_YEAR.sub(" ", plain).split()) or plain
    found = _NUMBER.match(without_year)
    base, number = (found[1].strip(), int(found[2])) if found else (without_year, None)
    return Name(ALIASES.get(base, base), number)


def are_perhaps_one(one: Named, other: Named) -> bool:
    """Whether both may mean one earthquake. Within a catalogue other names mean other earthquakes."""
    if one.event == other.event:
        return True
    if one.source == other.source:
        return False
    first, second = name_of(one.event), name_of(other.event)
    if first.base != second.base:
        return False
    return first.number is None or second.number is None or first.number == second.number


def merged(names: Iterable[Named]) -> list[list[Named]]:
    """Groups of names that may mean one earthquake, and what hangs together by them; in order of first appearance."""
    distinct = list(dict.fromkeys(names))
    group = {name: index for index, name in enumerate(distinct)}
    for one, other in combinations(distinct, 2):
        if group[one] != group[other] and are_perhaps_one(one, other):
            joined = group[other]
            group = {name: group[one] if number == joined else number for name, number in group.items()}
    found: dict[int, list[Named]] = {}
    for name in distinct:
        found.setdefault(group[name], []).append(name)
    return list(found.values())
