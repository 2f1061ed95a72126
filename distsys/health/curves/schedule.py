"""Learning rates: zero, out of pace with the run, or moved where no step was taken (D21)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distsys.health.causes import RATE_ZERO, SCHEDULE_ORDER, SCHEDULE_PACE
from distsys.health.curves.history import History, Series
from distsys.health.curves.noise import change, noise_of
from distsys.health.verdict import Verdict

_FEWEST = 6
_FEW_MOVES = 8
"""Changes of a rate from which it is a smooth schedule, not one of steps: steps of nine milestones are rare."""
_NOTHING = 1e-3
"""Of the highest rate: so little that nothing is learned. Half a cosine is below it for its last 2 %."""
_IDLE = 0.15
"""Share of a run that a smooth schedule may rest at (almost) zero."""
_SUNK = 0.5
"""Share of a run below ``_NOTHING`` that no schedule means: an exponential that ends at 1e-6 spends half."""
_EARLY = 0.1
"""Share of a run within which nobody cuts a rate three times."""
_REST = 0.5
"""Share of a run that a smooth decay may rest at a floor which is a rate still."""
_STILL = 0.01
"""Change over a whole run that a smooth schedule in pace exceeds."""
_TURNING = 0.3
"""Share of points at which a rate turns round: a triangle turns twice a cycle, which has more than six points."""


def rate_of_zero(history: History) -> Iterator[Verdict]:
    """A learning rate that is zero for the whole run or from some step on, though the run goes on.

    Healthy are the end of a decay, and a rate that was rounded to zero when written: the loss falls all the same.
    """
    for series in _rates(history):
        idle = _idle_share(history, series)
        top = float(series.values.max())
        if top == 0.0 and not _loss_falls(history, series.step(0)):
            evidence = f"{series.name} is 0 at all {len(series)} points"
            yield RATE_ZERO.verdict("warn", evidence, step=series.step(0))
        elif top > 0.0 and idle > _IDLE and _moves(series) < _FEW_MOVES:
            onset = _rest_begin(series)
            if series.values[-1] == 0.0 and not _loss_falls(history, series.step(onset)):
                evidence = f"{series.name} is 0 from step {series.step(onset)} on, for {idle:.0%} of the run"
                yield RATE_ZERO.verdict("warn", evidence, step=series.step(onset))


def out_of_pace(history: History) -> Iterator[Verdict]:
    """A smooth schedule that ends long before the run, sinks at its beginning, swings, or hardly moves.

    Healthy are warm-up and a constant, steps, restarts, cycles, cosines to zero, and floors that are rates still.
    """
    for series in _rates(history):
        if len(series) < _FEWEST or float(series.values.max()) <= 0.0:
            continue
        found = _sunk(series) or _ended(history, series) or _swings(series) or _turns_up(series) or _still(series)
        found = found or _first_alone(series) or _no_warmup(history, series)
        if found:
            step, evidence = found
            yield SCHEDULE_PACE.verdict("warn", f"{series.name} {evidence}", step=step)


def out_of_order(history: History) -> Iterator[Verdict]:
    """A rate that is not the schedule's after the steps that were taken, or that moves where none was taken."""
    for series in _rates(history):
        evidence = _unexpected(history, series) or _without_steps(history, series)
        if evidence:
            yield SCHEDULE_ORDER.verdict("warn", evidence[1], step=evidence[0])


def _rates(history: History) -> list[Series]:
    return [item.finite for item in history.of_kind("rate") if len(item.finite) >= 2]


def _moves(series: Series) -> int:
    return int(np.count_nonzero(np.abs(np.diff(series.values)) > 1e-9 * series.values.max()))


def _rest_begin(series: Series) -> int:
    """Index from which the rate stays what it is at the end."""
    differs = np.flatnonzero(np.abs(series.values - series.values[-1]) > 1e-6 * series.values.max())
    return int(differs[-1]) + 1 if len(differs) else 0


def _share_after(history: History, step: float) -> float:
    first, last = history.span
    return (last - step) / (last - first) if last > first else 0.0


def _idle_share(history: History, series: Series) -> float:
    return _share_after(history, series.steps[_rest_begin(series)])


def _sunk(series: Series) -> tuple[int, str] | None:
    """Below a thousandth of its highest for more than half of the run, after it was there."""
    values, top = series.values, int(series.values.argmax())
    low = np.flatnonzero(values > _NOTHING * values[top])
    onset = int(low[-1]) + 1
    share = (series.steps[-1] - series.steps[min(onset, len(series) - 1)]) / (series.steps[-1] - series.steps[0])
    is_smooth = _moves(series) >= (_FEW_MOVES if share < 1.0 - _EARLY else 3)  # else cut by hand, or on plateaus
    if onset >= len(series) or share <= _SUNK or not is_smooth:
        return None
    said = f"is below {_NOTHING:g} of its highest ({values[top]:.3g}) from step {series.step(onset)} on"
    return series.step(onset), f"{said}, for {share:.0%} of the run: it was stepped too often"


def _ended(history: History, series: Series) -> tuple[int, str] | None:
    """A smooth decay rests at its end for longer than schedules do."""
    onset = _rest_begin(series)
    share, end = _share_after(history, series.steps[onset]), series.values[-1] / series.values.max()
    is_decay = end < 0.5 and _moves(series) >= min(_FEW_MOVES, max(3, len(series) // 4))
    if not is_decay or share <= (_IDLE if end < _NOTHING else _REST):
        return None
    steady = np.diff(series.values[:onset])
    if np.count_nonzero(steady) < 0.7 * max(1, len(steady)):
        return None
    said = f"reaches its end, {series.values[-1]:.3g}, at step {series.step(onset)}"
    return series.step(onset), f"{said} and rests there for {share:.0%} of the run"


def _turns(values: np.ndarray) -> np.ndarray:
    """Indices at which a curve turns round; what rests on its way does not turn."""
    slopes = np.diff(values)
    at = np.flatnonzero(np.abs(slopes) > 1e-9 * np.abs(values).max())
    return at[1:][np.sign(slopes[at][1:]) != np.sign(slopes[at][:-1])]


def _swings(series: Series) -> tuple[int, str] | None:
    turns, range_ = _turns(series.values), float(np.ptp(series.values))
    if len(turns) <= _TURNING * len(series) or range_ < 0.5 * float(series.values.max()):
        return None
    return series.step(
        int(turns[0])
    ), f"turns round {len(turns)} times in {len(series)} points: it was stepped too often"


def _turns_up(series: Series) -> tuple[int, str] | None:
    """A cosine that begins at its top and climbs again as smoothly as it fell: stepped past its end."""
    values = series.values / series.values.max()
    turns = _turns(values)
    if values[0] < 0.99 or not len(turns) or values[turns[0]] > 0.2:
        return None
    low = int(turns[0])
    high = low + int(np.argmax(values[low : 2 * low + 2]))
    climb = np.diff(values[low : high + 1])
    if values[high] < 0.3 or low < 4:
        return None
    if np.abs(np.diff(values[low - 1 : low + 2])).max() > 0.6 * climb.max():  # a triangle's corner, a restart
        return None
    said = f"falls to {series.values[low]:.3g} at step {series.step(low)} and climbs again to {series.values[high]:.3g}"
    return series.step(low), f"{said}: the run goes on past the end of the schedule"


def _still(series: Series) -> tuple[int, str] | None:
    """A rate that moves at (almost) each point, always the same way, and ends where it began."""
    slopes = np.diff(series.values)
    always = len(slopes) >= 20 and max(np.mean(slopes > 0), np.mean(slopes < 0)) > 0.9
    if not always or np.ptp(series.values) > _STILL * series.values.max():
        return None
    part = float(np.ptp(series.values) / series.values.max())
    return series.step(0), f"moves by {part:.2%} over the whole run: it is stepped too seldom, or planned for longer"


def _first_alone(series: Series) -> tuple[int, str] | None:
    """The first point is at the top, the second at the foot of a warm-up that climbs to the same top."""
    values = series.values / series.values.max()
    climbed = np.flatnonzero(values[1:] > 0.9) + 1
    if values[0] < 0.9 or values[1] > 0.5 or not len(climbed) or climbed[0] < 3:
        return None
    rises = np.diff(values[1 : climbed[0] + 1])
    if (rises <= 0).any() or rises.max() > 3.0 * np.median(rises):
        return None
    said = f"is {series.values[0]:.3g} at step {series.step(0)}, then {series.values[1]:.3g}, and climbs"
    return series.step(0), f"{said} to {series.values[climbed[0]]:.3g}: the first step was taken before the warm-up"


def _no_warmup(history: History, series: Series) -> tuple[int, str] | None:
    """A warm-up that settings name and the curve does not have."""
    planned = max((history.facts.get(name, 0.0) for name in ("warmup_steps", "num_warmup_steps")), default=0.0)
    inside = series.values[series.steps < 0.9 * planned]
    if planned > history.span[1] - history.span[0]:
        return None  # it counts other steps than the curve does
    if len(inside) < 3 or inside.min() < 0.99 * series.values.max():
        return None
    return series.step(0), f"is at its top from step {series.step(0)} on; a warm-up of {planned:g} steps was set"


def _unexpected(history: History, series: Series) -> tuple[int, str] | None:
    """The first point at which the rate is not what the schedule says."""
    if history.expected_rate is None:
        return None
    at = np.isin(history.expected_rate.steps, series.steps)
    due, rates = history.expected_rate.values[at], series.values[np.isin(series.steps, history.expected_rate.steps)]
    wrong = np.flatnonzero(np.abs(rates - due) > 1e-6 * max(float(due.max(initial=0.0)), 1e-30))
    if not len(wrong):
        return None
    index = int(wrong[0])
    step = int(history.expected_rate.steps[at][index])
    said = f"{series.name} = {rates[index]:.6g} at step {step}, where the schedule says {due[index]:.6g}"
    return step, f"{said} after as many steps as the optimiser took; {len(wrong)} of {len(due)} points differ"


def _without_steps(history: History, series: Series) -> tuple[int, str] | None:
    """The rate moves between two points between which a counter shows that the optimiser took no step."""
    for counter in history.of_kind("skipped", "steps"):
        counter = counter.finite
        steps = np.intersect1d(counter.steps, series.steps)
        if len(steps) < 3:
            continue
        counts = np.diff([counter.at(step) for step in steps])
        if counter.meaning.kind == "skipped":
            if (counts > np.diff(steps)).any():
                continue  # it counts batches, and the curve epochs
            taken = np.diff(steps) - counts
        elif (counts < 0).any() or not (counts > 0).any():
            continue  # it does not add up
        else:
            taken = counts
        moves = np.abs(np.diff([series.at(step) for step in steps])) > 1e-9 * series.values.max()
        idle = np.flatnonzero((taken <= 0) & moves)
        if len(idle):
            index = int(idle[0])
            said = f"{series.name} moves from step {steps[index]:.0f} to {steps[index + 1]:.0f}, where {counter.name}"
            return int(steps[index]), f"{said} shows no step of the optimiser; {len(idle)} such moves"
    return None


def _loss_falls(history: History, since: float) -> bool:
    """Whether a training loss still falls after ``since``: a rate that is written as zero is then none."""
    for item in history.of_kind("loss", "term"):
        series = item.finite
        late = series.where(series.steps >= since).values
        if item.meaning.split in ("train", "") and len(late) >= _FEWEST:
            difference, error = change(late)
            if -difference > 3.0 * error and -difference > noise_of(late):
                return True
    return False
