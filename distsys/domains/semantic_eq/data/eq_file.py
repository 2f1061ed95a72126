"""The curve of an equaliser's own file: Equalizer APO, AutoEq's ParametricEQ.txt, REW's filter text, a GraphicEQ line.

Any number of filters of any bounds: what is read is their magnitude response. The preamp is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distsys.domains.semantic_eq.data.response import SAMPLE_RATE_HZ, frequency_grid_hz
from distsys.domains.semantic_eq.data.safe_file import q_of_octaves
from distsys.errors import DataError

_FILTER = re.compile(r"^\s*Filter\s*\d*\s*:\s*(ON|OFF)\b\s*(.*)$", re.IGNORECASE)
_NUMBER = r"([+-]?\d+(?:[.,]\d+)?)"
_FIELDS = {
    "slope_db": re.compile(rf"^\w+\s+{_NUMBER}\s*dB\b", re.IGNORECASE),
    "freq_hz": re.compile(rf"\bFc\s+{_NUMBER}\s*(k?)Hz", re.IGNORECASE),
    "gain_db": re.compile(rf"\bGain\s+{_NUMBER}\s*dB", re.IGNORECASE),
    "q": re.compile(rf"\bQ\s+{_NUMBER}", re.IGNORECASE),
    "octaves": re.compile(rf"\bBW\s+(?:Oct\s+)?{_NUMBER}", re.IGNORECASE),
}
_GRAPHIC = re.compile(r"^\s*GraphicEQ\s*:\s*(.+)$", re.IGNORECASE)
_DEFAULT_SLOPE = 0.9
"""Of a shelf whose width is not said, as Equalizer APO and REW have it."""
_FLAT_Q = math.sqrt(0.5)


@dataclass(frozen=True)
class Filter:
    """One biquad; ``a`` is 10^(gain/40), ``q`` also that of a shelf."""

    kind: str
    freq_hz: float
    a: float
    q: float


def read_curve_db(path: Path) -> np.ndarray:
    """Magnitude response [points] in dB, on the grid of :func:`~.response.frequency_grid_hz`, at 44.1 kHz.

    Raises:
        DataError: the file cannot be read, has no filter that is on, or one of a kind that is not known.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="an equaliser's text file in UTF-8") from None
    curve = np.zeros(len(frequency_grid_hz()))
    number = 0
    for at, line in enumerate(lines, start=1):
        if graphic := _GRAPHIC.match(line):
            curve += _graphic_db(graphic[1], place=f"{path}: line {at}")
            number += 1
        elif (found := _FILTER.match(line)) and found[1].upper() == "ON" and not found[2].upper().startswith("NONE"):
            curve += _response_db(_filter_of(found[2], place=f"{path}: line {at}"))
            number += 1
    if not number:
        raise DataError(
            f"{path}: no filter that is on",
            expected="lines such as 'Filter 1: ON PK Fc 105 Hz Gain -3.3 dB Q 0.70'",
            fix="export the filters as text for Equalizer APO, or give a .csv or .json that 'predict' wrote",
        )
    return curve


def _filter_of(text: str, *, place: str) -> Filter:
    kind = text.split()[0].upper()
    if kind not in _POWERS:
        raise DataError(f"{place}: a filter of kind '{kind}'", expected=f"one of {', '.join(_POWERS)}")
    values = {name: _value(match) for name, field in _FIELDS.items() if (match := field.search(text))}
    needed = ["freq_hz", *(["gain_db"] if kind in _WITH_GAIN else [])]
    if missing := [name for name in needed if name not in values]:
        raise DataError(f"{place}: {kind} without {' and '.join(missing)}", expected="Fc in Hz, and Gain in dB")
    a, freq_hz = 10.0 ** (values.get("gain_db", 0.0) / 40.0), values["freq_hz"]
    is_shelf = kind.startswith(("LS", "HS"))
    q = _shelf_q(values, a) if is_shelf else _bell_q(values)
    if is_shelf and not kind.endswith(("C", "Q")) and {"q", "slope_db"} & set(values):
        freq_hz = _centre_hz(kind, freq_hz, a, q)
    if not (0.0 < freq_hz < 0.5 * SAMPLE_RATE_HZ and 0.0 < q < math.inf):
        raise DataError(f"{place}: {freq_hz:g} Hz, Q {q:g}", expected=f"0 to {0.5 * SAMPLE_RATE_HZ:g} Hz, Q above 0")
    return Filter(kind, freq_hz, a, q)


def _value(match: re.Match[str]) -> float:
    thousand = 1000.0 if match.lastindex and match.lastindex > 1 and match[2] else 1.0
    return thousand * float(match[1].replace(",", "."))


def _bell_q(values: Mapping[str, float]) -> float:
    return values["q"] if "q" in values else q_of_octaves(values["octaves"]) if "octaves" in values else _FLAT_Q


def _shelf_q(values: Mapping[str, float], a: float) -> float:
    """By a slope of at most 12 dB an octave where no Q is said (RBJ Audio EQ Cookbook)."""
    if "q" in values:
        return values["q"]
    slope = values["slope_db"] / 12.0 if "slope_db" in values else _DEFAULT_SLOPE
    return 1.0 / math.sqrt(max((a + 1.0 / a) * (1.0 / slope - 1.0) + 2.0, 1e-9))


def _centre_hz(kind: str, corner_hz: float, a: float, q: float) -> float:
    """The centre of a shelf that is named by its corner, as LS and HS are and LSC and HSC are not."""
    slope = 1.0 / ((1.0 / q**2 - 2.0) / (a + 1.0 / a) + 1.0)
    factor = 10.0 ** (abs(40.0 * math.log10(a)) / 80.0 / slope)
    return corner_hz * factor if kind.startswith("LS") else corner_hz / factor


def _peak(s: np.ndarray, a: float, q: float) -> np.ndarray:
    return (s**2 + s * a / q + 1.0) / (s**2 + s / (a * q) + 1.0)


def _low_shelf(s: np.ndarray, a: float, q: float) -> np.ndarray:
    return a * (s**2 + math.sqrt(a) / q * s + a) / (a * s**2 + math.sqrt(a) / q * s + 1.0)


def _high_shelf(s: np.ndarray, a: float, q: float) -> np.ndarray:
    return a * (a * s**2 + math.sqrt(a) / q * s + 1.0) / (s**2 + math.sqrt(a) / q * s + a)


def _low_pass(s: np.ndarray, a: float, q: float) -> np.ndarray:
    return 1.0 / (s**2 + s / q + 1.0)


def _high_pass(s: np.ndarray, a: float, q: float) -> np.ndarray:
    return s**2 / (s**2 + s / q + 1.0)


_POWERS: Mapping[str, Callable[[np.ndarray, float, float], np.ndarray]] = {
    **dict.fromkeys(("PK", "PEQ", "MODAL"), _peak),
    **dict.fromkeys(("LS", "LSC", "LSQ"), _low_shelf),
    **dict.fromkeys(("HS", "HSC", "HSQ"), _high_shelf),
    **dict.fromkeys(("LP", "LPQ"), _low_pass),
    **dict.fromkeys(("HP", "HPQ"), _high_pass),
}
"""Analogue prototypes H(s) of the RBJ Audio EQ Cookbook by the names that files give them."""
_WITH_GAIN = {name for name, shape in _POWERS.items() if shape not in (_low_pass, _high_pass)}


def _response_db(item: Filter) -> np.ndarray:
    """Through the bilinear transform: |H| at w is that of the prototype at tan(w/2) / tan(w0/2)."""
    grid = np.tan(math.pi / SAMPLE_RATE_HZ * frequency_grid_hz().numpy())
    s = 1j * grid / math.tan(math.pi * item.freq_hz / SAMPLE_RATE_HZ)
    return 20.0 * np.log10(np.maximum(np.abs(_POWERS[item.kind](s, item.a, item.q)), 1e-6))


def _graphic_db(text: str, *, place: str) -> np.ndarray:
    """``20 -1.5; 100 2; ...``, linear in dB over the logarithm of frequency, as Equalizer APO has it."""
    try:
        points = sorted(tuple(map(float, part.split())) for part in text.split(";") if part.strip())
        freq_hz, gain_db = np.array(points).reshape(len(points), 2).T
    except ValueError:
        raise DataError(f"{place}: '{text[:40]}'", expected="GraphicEQ: 20 -1.5; 100 2.0; ... in Hz and dB") from None
    return np.interp(np.log(frequency_grid_hz().numpy()), np.log(freq_hz), gain_db)
