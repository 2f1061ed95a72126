"""Which records are of one earthquake: by origin time, place and magnitude, else by name.

Catalogues write names with years, numbers, countries, or as a network's id.

Two records that may be of one earthquake are taken for one: a fold that holds both cannot leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from itertools import combinations
from typing import NamedTuple

from distsys.domains.ground_motion.data.origins import DATE_S, MINUTE_S, Origin, apart_km

ALIASES: Mapping[str, str] = {
    "ci3144585": "northridge",
    "ci38457511": "ridgecrest mainshock",
    "ridgecrest m7 1": "ridgecrest mainshock",
    "nc216859": "loma prieta",
    "ci38038071": "la verne",
    "ci3031111": "landers",
    "nc72282711": "south napa",
}
"""Ids of the ANSS catalogue, and other names, of earthquakes that people know by a name."""
_SAME_S, _SAME_KM, _SAME_MAGNITUDE = 60.0, 100.0, 0.35
"""By how much catalogues differ on one earthquake: in time and in place besides what each says of its own exactness."""
_MOST_HOURS = 14
_START_S = 180.0
"""Between an earthquake and the starts of records of it, or between two of these."""
_STATE = re.compile(r",\s*[A-Z]{2}$")
_DATE = re.compile(r"\b\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}\b(?:\s+\d{4}\b)?")
_YEAR = re.compile(r"\b(18|19|20)\d\d\b")
_NUMBER = re.compile(r"^(.*\D)\s(\d{1,2})$")


class Name(NamedTuple):
    """A name without what catalogues add, and the number that tells shocks of one sequence apart, if it has one."""

    base: str
    number: int | None


class Named(NamedTuple):
    """What a record says of its event: name, whose name that is (one catalogue names a shock once), and origin.

    Args:
        begins: when the record does, where nothing tells its event.
    """

    source: str
    event: str
    origin: Origin = Origin()
    magnitude: float | None = None
    begins: datetime | None = None


@cache
def name_of(event: str) -> Name:
    """``Imperial Valley-06``, ``Imperial Valley (1979)`` and ``imperial valley`` have one base."""
    plain = " ".join(re.sub(r"[^\w]+|_", " ", _DATE.sub(" ", _STATE.sub("", event.strip()).casefold())).split())
    plain = ALIASES.get(plain, plain) or event.casefold()
    without_year = " ".join(_YEAR.sub(" ", plain).split()) or plain
    found = _NUMBER.match(without_year)
    base, number = (found[1].strip(), int(found[2])) if found else (without_year, None)
    return Name(ALIASES.get(base, base), number)


class Likeness(NamedTuple):
    """Why two records may be of one earthquake, and whether that is sure."""

    why: str
    sure: bool


def likeness(one: Named, other: Named) -> Likeness | None:
    """What speaks for one earthquake; None where nothing does, or origins speak against it.

    Time, place and magnitude come first: an agreement of exact times joins other names, a contradiction parts same
    ones. Else names decide, and between catalogues the date; within a catalogue other names mean other earthquakes.
    """
    if (one.source, one.event) == (other.source, other.event):
        return Likeness("one name in one catalogue", True)
    apart_s = _apart_s(one.origin, other.origin)
    within_s = one.origin.within_s + other.origin.within_s
    exact = apart_s is not None and within_s <= 2.0 * MINUTE_S
    places, magnitudes = _places_agree(one, other), _magnitudes_agree(one, other)
    if apart_s is not None and exact and apart_s <= _SAME_S + within_s and places is not False:
        return Likeness("origin times", False) if places is None else Likeness("origin times and places", True)
    if apart_s is not None and apart_s > within_s + (_SAME_S if exact else 0.0):
        zones = exact and places and magnitudes is not False and _are_hours(apart_s, within_s)
        return Likeness("places, and times some whole hours apart", False) if zones else None
    if places is False:
        return None
    if _begin_together(one, other):
        return Likeness("starts of records", False)
    named = _by_name(one, other, told_by_time=apart_s is not None)
    on_a_day = apart_s is not None and within_s <= 2.0 * DATE_S and magnitudes is not False
    if named is None and on_a_day and (one.source != other.source or (places and magnitudes)):
        return Likeness("dates", False)
    return named


def are_perhaps_one(one: Named, other: Named) -> bool:
    """Whether both may mean one earthquake."""
    return likeness(one, other) is not None


def _by_name(one: Named, other: Named, *, told_by_time: bool) -> Likeness | None:
    if one.event == other.event:
        return Likeness("names", True)
    first, second = name_of(one.event), name_of(other.event)
    if one.source == other.source or first.base != second.base:
        return None
    if first.number == second.number:
        return Likeness("names and dates" if told_by_time else "names", True)
    unnumbered = first.number is None or second.number is None
    return Likeness("names, one of them without a number", False) if unnumbered else None


def _apart_s(one: Origin, other: Origin) -> float | None:
    if one.time is None or other.time is None:
        return None
    return abs((one.time - other.time).total_seconds())


def _begin_together(one: Named, other: Named) -> bool:
    """Whether a record that tells no event begins with another one, or with an earthquake of exact time."""
    if one.begins is None and other.begins is None:
        return False
    exact = (name.origin.time if name.origin.within_s <= MINUTE_S else None for name in (one, other))
    first, second = (name.begins or time for name, time in zip((one, other), exact, strict=True))
    return first is not None and second is not None and abs((first - second).total_seconds()) <= _START_S


def _are_hours(apart_s: float, within_s: float) -> bool:
    """Whether times of one moment in two zones can be that far apart."""
    hours = round(apart_s / 3600.0)
    return 1 <= hours <= _MOST_HOURS and abs(apart_s - 3600.0 * hours) <= _SAME_S + within_s


def _places_agree(one: Named, other: Named) -> bool | None:
    first, second = one.origin.place, other.origin.place
    return None if first is None or second is None else apart_km(first, second) <= _SAME_KM


def _magnitudes_agree(one: Named, other: Named) -> bool | None:
    if one.magnitude is None or other.magnitude is None:
        return None
    return abs(one.magnitude - other.magnitude) <= _SAME_MAGNITUDE


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


def reasons(group: list[Named]) -> Likeness:
    """Why the names of a group are one; doubtful where it hangs by something doubtful alone."""
    sure = {name: name for name in group}
    why: dict[str, None] = {}
    for one, other in combinations(group, 2):
        found = likeness(one, other)
        if found is None or (found.sure and one[:2] == other[:2]):
            continue
        why[found.why] = None
    links = [(one, other) for one, other in combinations(group, 2) if (found := likeness(one, other)) and found.sure]
    for one, other in links:
        kept, gone = sure[one], sure[other]
        sure = {name: kept if root == gone else root for name, root in sure.items()}
    return Likeness("; ".join(why), len(set(sure.values())) == 1)
