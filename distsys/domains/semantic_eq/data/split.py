"""Who is learned from and who is tested on: no person stands on two sides, nor does any exact duplicate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from distsys.domains.semantic_eq.config import DataConfig
from distsys.domains.semantic_eq.data.safe_file import Table
from distsys.errors import DataError


def split_by_submitter(table: Table, data: DataConfig, *, seed: int) -> tuple[list[int], list[int], list[int]]:
    """Row numbers of training, validation and test.

    People with few settings are drawn until both held-out sides are full, then dealt so that the sides are
    alike in rows and in words: dealt by chance, a side of 120 rows often lacks a word altogether.

    Raises:
        DataError: there are too few people.
    """
    words: dict[str, Counter[str]] = {name: Counter() for name in sorted(set(table.submitter))}
    for submitter, term in zip(table.submitter, table.term, strict=True):
        words[submitter][term] += 1
    validation_people, test_people = _deal(_draw(words, data, seed), words)
    train_people = words.keys() - validation_people - test_people
    held_out = sum(words[name].total() for name in validation_people | test_people)
    if held_out < 2 * data.held_out_rows or sum(words[name].total() for name in train_people) < data.held_out_rows:
        raise DataError(
            f"{len(table.term)} settings by {len(words)} people leave too few to train on or to hold out",
            expected=f"{data.held_out_rows} rows in each of test and validation, by people with at most "
            f"{data.held_out_max_rows} settings, and more people besides",
            fix="lower data.held_out_rows, raise data.held_out_max_rows, or use a larger file",
        )
    test = _distinct(table, test_people, set())
    seen = {table.physical[row].tobytes() for row in test}
    validation = _distinct(table, validation_people, seen)
    seen |= {table.physical[row].tobytes() for row in validation}
    return _distinct(table, train_people, seen), validation, test


def _draw(words: Mapping[str, Counter[str]], data: DataConfig, seed: int) -> list[str]:
    """People of few rows, at random, until they have rows for two sides."""
    small = [name for name, counts in words.items() if counts.total() <= data.held_out_max_rows]
    drawn: list[str] = []
    rows = 0
    for index in np.random.default_rng([seed, 0x5B11]).permutation(len(small)):
        if rows >= 2 * data.held_out_rows:
            break
        drawn.append(small[index])
        rows += words[small[index]].total()
    return drawn


def _deal(people: Sequence[str], words: Mapping[str, Counter[str]]) -> tuple[set[str], set[str]]:
    """Each person, the largest first, to the side that has fewer rows and fewer of the person's main word."""
    sides: tuple[set[str], set[str]] = (set(), set())
    heard: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for name in sorted(people, key=lambda name: -words[name].total()):
        main = max(sorted(words[name]), key=lambda term: words[name][term])
        poorer = min((0, 1), key=lambda side: heard[side].total() + heard[side][main])
        sides[poorer].add(name)
        heard[poorer].update(words[name])
    return sides


def _distinct(table: Table, people: Iterable[str], elsewhere: set[bytes]) -> list[int]:
    """Rows of ``people`` that are no exact duplicate of a row on another side."""
    wanted = set(people)
    rows = [row for row, name in enumerate(table.submitter) if name in wanted]
    return [row for row in rows if table.physical[row].tobytes() not in elsewhere]
