"""Equalisers' own files against scipy's biquads, and what of them is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import freqz

from distsys.domains.semantic_eq.data.eq_file import read_curve_db
from distsys.domains.semantic_eq.data.response import SAMPLE_RATE_HZ, frequency_grid_hz
from distsys.errors import DataError

GRID = frequency_grid_hz().numpy()


def biquad_db(kind: str, freq_hz: float, gain_db: float, q: float) -> np.ndarray:
    """By the cookbook's coefficients."""
    a, w = 10 ** (gain_db / 40), 2 * math.pi * freq_hz / SAMPLE_RATE_HZ
    alpha, cos = math.sin(w) / (2 * q), math.cos(w)
    root = 2 * math.sqrt(a) * alpha
    if kind == "peak":
        b, c = [1 + alpha * a, -2 * cos, 1 - alpha * a], [1 + alpha / a, -2 * cos, 1 - alpha / a]
    elif kind == "low":
        near, far = a * ((a + 1) - (a - 1) * cos + root), a * ((a + 1) - (a - 1) * cos - root)
        b = [near, 2 * a * ((a - 1) - (a + 1) * cos), far]
        c = [(a + 1) + (a - 1) * cos + root, -2 * ((a - 1) + (a + 1) * cos), (a + 1) + (a - 1) * cos - root]
    elif kind == "high":
        near, far = a * ((a + 1) + (a - 1) * cos + root), a * ((a + 1) + (a - 1) * cos - root)
        b = [near, -2 * a * ((a - 1) + (a + 1) * cos), far]
        c = [(a + 1) - (a - 1) * cos + root, 2 * ((a - 1) - (a + 1) * cos), (a + 1) - (a - 1) * cos - root]
    else:
        b, c = [(1 + cos) / 2, -(1 + cos), (1 + cos) / 2], [1 + alpha, -2 * cos, 1 - alpha]
    return 20 * np.log10(np.abs(freqz(b, c, worN=GRID, fs=SAMPLE_RATE_HZ)[1]))


def curve_of(folder: Path, text: str) -> np.ndarray:
    (folder / "eq.txt").write_text(text)
    return read_curve_db(folder / "eq.txt")


def test_filters_of_all_programs_add_up(tmp_path: Path) -> None:
    apo = """Preamp: -6.1 dB
Filter 1: ON LSC Fc 105.0 Hz Gain 5.5 dB Q 0.70
Filter 2: ON PK Fc 2,5 kHz Gain -3,3 dB Q 1,41
Filter 3: OFF PK Fc 100 Hz Gain 9 dB Q 1
Filter 4: ON HSC Fc 10000 Hz Gain -2.5 dB Q 0.7
"""
    wanted = biquad_db("low", 105, 5.5, 0.7) + biquad_db("peak", 2500, -3.3, 1.41) + biquad_db("high", 10000, -2.5, 0.7)
    assert curve_of(tmp_path, apo) == pytest.approx(wanted, abs=1e-6)
    rew = """Filter Settings file

Room EQ V5.20
Equaliser: Generic
Filter  1: ON  PK       Fc   129.0 Hz  Gain  -6.0 dB  Q  4.00
Filter  2: ON  None
Filter  3: ON  HP       Fc    30.0 Hz
"""
    wanted = biquad_db("peak", 129, -6, 4) + biquad_db("pass", 30, 0, math.sqrt(0.5))
    assert curve_of(tmp_path, rew) == pytest.approx(wanted, abs=1e-6)


def test_a_bandwidth_and_a_slope(tmp_path: Path) -> None:
    bell = curve_of(tmp_path, "Filter: ON PK Fc 1000 Hz Gain 6 dB BW Oct 2.0\n")
    edge = np.interp(math.log(500.0), np.log(GRID), bell)
    assert edge == pytest.approx(3.0, abs=0.05)  # half of the gain an octave below
    steep = curve_of(tmp_path, "Filter: ON LSC 12 dB Fc 300 Hz Gain 6 dB\n")
    assert steep == pytest.approx(biquad_db("low", 300, 6, math.sqrt(0.5)), abs=1e-6)


def test_a_shelf_named_by_its_corner_lies_further_out(tmp_path: Path) -> None:
    corner = curve_of(tmp_path, "Filter: ON LS 12 dB Fc 300 Hz Gain 6 dB\n")
    moved = biquad_db("low", 300 * 10 ** (6 / 80), 6, math.sqrt(0.5))
    assert corner == pytest.approx(moved, abs=1e-6)


def test_a_drawn_curve(tmp_path: Path) -> None:
    found = curve_of(tmp_path, "GraphicEQ: 20 -6; 2000 0; 20000 3\n")
    assert found[0] == pytest.approx(-6.0)
    assert np.interp(math.log(200.0), np.log(GRID), found) == pytest.approx(-3.0, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bass +3\n", "no filter that is on"),
        ("Filter 1: ON AP Fc 100 Hz Q 1\n", "line 1: a filter of kind 'AP'"),
        ("\nFilter 1: ON PK Gain 3 dB Q 1\n", "line 2: PK without freq_hz"),
        ("Filter 1: ON PK Fc 30000 Hz Gain 3 dB Q 1\n", "30000 Hz"),
        ("GraphicEQ: 20\n", "expected: GraphicEQ"),
    ],
)
def test_what_is_no_equaliser(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        curve_of(tmp_path, text)
    assert told in str(caught.value)
