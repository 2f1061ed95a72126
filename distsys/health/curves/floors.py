"""Terms that go where their floor forbids, or fall without an end (D11)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from distsys.health.causes import UNBOUNDED_TERM
from distsys.health.curves.history import History, Series
from distsys.health.curves.names import words
from distsys.health.curves.noise import change, mean_and_error, smooth, thirds
from distsys.health.verdict import Status, Verdict

_TOLERANCE = 1e-3
"""Of a floor, relative to its size but at least 1: sums in float32. The check in flight has the same."""
_FEWEST = 9
_UNSLOWED = 0.8
"""Fall in the last third over that in the middle one. A logarithm of time has 0.37, a square root 0.66, a line 1."""
_FASTER = 1.5
_NEGATIVE_WHEN_WELL = {"sisdr", "sisnr", "sdr", "snr", "nll", "elbo", "likelihood", "logp", "psnr", "vlb"}


def below_floor(history: History) -> Iterator[Verdict]:
    """A term below the bound that is declared, or that its name implies."""
    for series in history.of_kind("loss", "term", "metric"):
        low = series.meaning.low
        if not math.isfinite(low):
            continue
        under = np.flatnonzero(series.values < low - _TOLERANCE * (1.0 + abs(low)))
        if not len(under):
            continue
        worst = int(np.nanargmin(series.values))
        said = "a quantity of this name is never below" if series.meaning.is_guess else "declared lower bound"
        evidence = f"{series.name} = {series.values[worst]:.4g} at step {series.step(worst)}, {said} {low:g}"
        status: Status = "warn" if series.meaning.is_guess else "stop"
        yield UNBOUNDED_TERM.verdict(status, evidence, step=series.step(int(under[0])))


def falls_without_end(history: History) -> Iterator[Verdict]:
    """A term without a known bound that is negative and falls on undiminished, while something else suffers or it
    falls ever faster.

    Healthy are a likelihood or a ratio in dB that goes below zero and slows down, and an adversary's loss.
    """
    for series in history.of_kind("loss", "term"):
        series = series.finite
        if math.isfinite(series.meaning.low) or series.meaning.is_free or len(series) < _FEWEST:
            continue
        speed = _speed(series.values)
        if speed < _UNSLOWED:
            continue
        harmed = next((item for item in _others(history, series) if _worsens(item)), None)
        if harmed is None and (speed < _FASTER or set(words(series.name)) & _NEGATIVE_WHEN_WELL):
            continue
        yield UNBOUNDED_TERM.verdict("warn", _evidence(series, speed, harmed), step=_zero(series))


def _speed(values: np.ndarray) -> float:
    """Fall in the last third over that in the middle one; 0 where it is not both clear and below zero."""
    first, middle, last = (mean_and_error(part) for part in thirds(smooth(values)))
    before, now = first[0] - middle[0], middle[0] - last[0]
    error = math.hypot(middle[1], last[1])
    if last[0] >= 0.0 or now <= 3.0 * error / math.sqrt(3.0) or before <= 0.0:
        return 0.0
    return now / before


def _others(history: History, series: Series) -> list[Series]:
    """What should get better when a term does: metrics, and terms of the same split."""
    found = [item for item in history.of_kind("metric") if item.meaning.direction and item.meaning.split != "train"]
    terms = [item for item in history.of_kind("term") if item is not series and not item.meaning.is_penalty]
    same = [item for item in terms if item.meaning.split == series.meaning.split and not item.meaning.is_free]
    return [item for item in [*found, *same] if item.name != series.name]


def _worsens(series: Series) -> bool:
    """Whether it is worse at the end than in the middle, by more than its noise and a tenth of its own range."""
    values = series.finite.values
    if len(values) < _FEWEST:
        return False
    later = values[len(values) // 3 :]
    difference, error = change(later)
    sign = -1.0 if series.meaning.direction == "max" else 1.0
    return sign * difference > max(3.0 * error, 0.1 * float(np.ptp(smooth(values))))


def _zero(series: Series) -> int:
    """Step from which it stays negative."""
    above = np.flatnonzero(series.values >= 0.0)
    return series.step(min(int(above[-1]) + 1, len(series) - 1) if len(above) else 0)


def _evidence(series: Series, speed: float, harmed: Series | None) -> str:
    text = (
        f"{series.name} falls from {series.values[0]:.4g} to {series.values[-1]:.4g}, in the last third "
        f"{speed:.2g} times as fast as in the middle"
    )
    if harmed is None:
        return text
    values = harmed.finite.values
    middle, last = thirds(values)[1].mean(), thirds(values)[2].mean()
    return f"{text}, while {harmed.name} goes from {middle:.4g} to {last:.4g}"
