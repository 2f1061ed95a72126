"""Motions written as miniSEED 2: 4,096-byte records of 32-bit reals, which any seismological program reads.

Source: SEED Reference Manual 2.4 (IRIS 2012), chapter 8 and blockette 1000.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

_LENGTH_POWER = 12
_DATA_BEGINS = 64
_REALS, _BIG_ENDIAN = 4, 1
_EACH = (2**_LENGTH_POWER - _DATA_BEGINS) // 4
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Start of what has no known time."""


@dataclass(frozen=True)
class Channel:
    """Whose samples these are; codes are cut to what SEED allows, and what it does not is left out.

    Args:
        begins: time of the first sample in UTC.
    """

    network: str
    station: str
    channel: str
    begins: datetime = EPOCH

    def header(self, sequence: int, location: str, first: int, count: int, rate_hz: int) -> bytes:
        """64 bytes before the samples from ``first`` on."""
        begins = self.begins + timedelta(seconds=first / rate_hz)
        time = struct.pack(
            ">HHBBBBH", begins.year, begins.timetuple().tm_yday, begins.hour, begins.minute, begins.second, 0,
            begins.microsecond // 100,
        )  # fmt: skip
        codes = _code(self.station, 5) + location.encode() + _code(self.channel, 3) + _code(self.network, 2)
        numbers = struct.pack(">HhhBBBBiHH", count, rate_hz, 1, 0, 0, 0, 1, 0, _DATA_BEGINS, 48)
        blockette = struct.pack(">HHBBBB", 1000, 0, _REALS, _BIG_ENDIAN, _LENGTH_POWER, 0)
        return (f"{sequence % 1_000_000:06d}D ".encode() + codes + time + numbers + blockette).ljust(
            _DATA_BEGINS, b"\0"
        )


def mseed_bytes(motions: np.ndarray, channel: Channel, *, rate_hz: int) -> bytes:
    """A file of motions [samples, time], at most 1,296, told apart by their location: 00, 01, ... 0Z, 10, ..."""
    assert len(motions) <= len(_DIGITS) ** 2
    return b"".join(_records(motions, channel, rate_hz))


def _records(motions: np.ndarray, channel: Channel, rate_hz: int) -> Iterator[bytes]:
    sequence = 0
    for number, motion in enumerate(motions):
        location = _DIGITS[number // len(_DIGITS)] + _DIGITS[number % len(_DIGITS)]
        for first in range(0, len(motion), _EACH):
            sequence += 1
            part = motion[first : first + _EACH].astype(">f4")
            yield (channel.header(sequence, location, first, len(part), rate_hz) + part.tobytes()).ljust(
                2**_LENGTH_POWER, b"\0"
            )


def _code(text: str, length: int) -> bytes:
    plain = "".join(letter for letter in text.upper() if letter.isascii() and letter.isalnum())
    return plain[:length].ljust(length).encode()
