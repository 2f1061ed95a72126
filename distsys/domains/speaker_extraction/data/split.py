"""Who and what is trained on, and who and what is kept for frozen sets: nothing is shared.

Everything is dealt by a hash of its name, so that a newcomer deals nobody else anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Part = Literal["train", "validation", "test"]

_VALIDATION_SHARE, _TEST_SHARE = 0.06, 0.1
"""Of speakers."""
_HELD_SHARE = 0.1
"""Of sources of noise and of rooms, for validation and for testing each."""


def split_speakers(names: Sequence[str], *, least: int, seed: int) -> dict[Part, list[str]]:
    """Disjoint sets of speakers; at least ``least`` each for validation and testing."""
    return _dealt(names, shares=(_VALIDATION_SHARE, _TEST_SHARE), least=least, seed=seed)


def split_sources(source_of: Mapping[str, str], *, seed: int) -> dict[Part, list[str]]:
    """Disjoint sets of recordings, those of one source in one set.

    Args:
        source_of: source by recording.
    """
    sides = _dealt(set(source_of.values()), shares=(_HELD_SHARE, _HELD_SHARE), least=1, seed=seed)
    return {part: [name for name in source_of if source_of[name] in chosen] for part, chosen in sides.items()}


def _dealt(names: Iterable[str], *, shares: tuple[float, float], least: int, seed: int) -> dict[Part, list[str]]:
    """The lowest hashes are tested on; of the rest, by another hash, the lowest are validated on.

    A set holds the hashes below its share, and where these are fewer than ``least``, the next ones too. A newcomer
    below the share joins its set and leaves all others where they are; one who takes the place of a next one sends
    that one on, from testing to validation or training: nobody who was trained on is ever tested on.
    """
    validation_share, test_share = shares
    test = _lowest(names, test_share, least=least, salt=f"{seed} test")
    others = set(names) - set(test)
    validation = _lowest(others, validation_share / (1.0 - test_share), least=least, salt=f"{seed} validation")
    return {"train": sorted(others - set(validation)), "validation": sorted(validation), "test": sorted(test)}


def _lowest(names: Iterable[str], share: float, *, least: int, salt: str) -> list[str]:
    places = {name: _place(name, salt) for name in names}
    below = sum(place < share for place in places.values())
    return sorted(places, key=lambda name: places[name])[: max(least, below)]


def _place(name: str, salt: str) -> float:
    """Uniform in [0, 1), a function of the name alone."""
    return int.from_bytes(hashlib.sha256(f"{salt} {name}".encode()).digest()[:6], "big") * 2.0**-48
