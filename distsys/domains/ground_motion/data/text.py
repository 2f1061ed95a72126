"""Text files of other people: any encoding and line ends, Fortran's exponents, columns of a fixed width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distsys.errors import DataError

_EXPONENT = re.compile(r"(?<=[\d.])[Dd](?=[+-]?\d)")
"""Fortran writes 0.1000D-01 for 0.01."""


def text_of(path: Path) -> str:
    """In UTF-8 where it is that; its lines may end as on any system, or twice over.

    Raises:
        DataError: the file cannot be read.
    """
    return decoded(bytes_of(path))


def bytes_of(path: Path, count: int = -1) -> bytes:
    """The first ``count`` bytes, or all of them."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def decoded(content: bytes) -> str:
    """Text with lines that end in one way."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return re.sub(r"\r*\n|\r", "\n", text.removeprefix("\ufeff"))


def numbers(path: Path, text: str, *, where: str = "", expected: str = "numbers after the header") -> np.ndarray:
    """[values] of ``text``, apart by blanks."""
    try:
        return np.array([float(item) for item in _EXPONENT.sub("e", text).split()])
    except ValueError as error:
        raise DataError(f"{path}{where}: {error}", expected=expected) from None


def fixed(path: Path, lines: Sequence[str], *, width: int, columns: int, count: int, first: int) -> np.ndarray:
    """[count] values in columns of a fixed width, which may touch each other.

    Args:
        first: number of the first of ``lines`` in the file, from 1.

    Raises:
        DataError: a value is none, or there are too few; the line is named.
    """
    found: list[float] = []
    for number, line in enumerate(lines[: -(-count // columns)], start=first):
        for start in range(0, min(len(line), width * columns), width):
            item = line[start : start + width].strip()
            if not item:
                continue
            try:
                found.append(float(_EXPONENT.sub("e", item)))
            except ValueError:
                raise DataError(
                    f"{path}, line {number}: '{item}'", expected=f"numbers in {columns} columns of {width} characters"
                ) from None
    if len(found) != count:
        raise DataError(f"{path}, from line {first} on: {len(found)} values", expected=f"{count}, as its header says")
    return np.array(found)
