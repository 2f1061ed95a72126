"""Terms that stay at chance, and runs in which nothing moves (D25)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distsys.health.causes import AT_CHANCE, NOTHING_LEARNED
from distsys.health.check import View
from distsys.health.flight.battery import STILL, explained
from distsys.health.flight.movement import displacement
from distsys.health.memory import KEPT, History, RememberingValues, mean_and_error
from distsys.health.verdict import Verdict

_FEWEST = 8
"""Looks at which a mean is worth something."""
_ROUNDING = 1e-5
"""Of a term's size: a term that does not ask whose outputs it is given changes by less when they are exchanged."""


class AtChance(RememberingValues):
    """A weighted term has the value of a model that knows nothing of its items (D25).

    That value is declared (``TermSpec.chance``), and the term stays where it began; or it is measured: the term when
    every item is given another's outputs.
    Only a ``warn``: a low learning rate may learn later.

    Args:
        errors: standard errors within which two means are alike.
        power: standard error over the term's size, above which nothing can be said, and a gain that counts as one.
        warn_at: share of the planned steps.
    """

    name = "at_chance"

    def __init__(self, *, errors: float = 3.0, power: float = 0.02, warn_at: float = 0.5) -> None:
        super().__init__()
        self._errors, self._power, self._warn_at = errors, power, warn_at

    def look(self, view: View) -> Sequence[Verdict]:
        for name, value in view.terms.items():
            if view.is_warm and view.weights[name] > 0:
                self.values.add(name, value)
                self.values.add(f"gain {name}", view.moved.get(name, math.nan) - value)
        if view.progress < self._warn_at:
            return []
        weighted = sorted(name for name, weight in view.weights.items() if weight > 0)
        found = {name: text for name in weighted if (text := self._at_chance(view, name))}
        self.bad.update(["any"] if found else [], step=view.step)
        if not found:
            return []
        name, text = next(iter(found.items()))
        onset = 1 if self._is_flat(name) else self.bad.onset("any")
        symptom = AT_CHANCE.verdict("warn", text, step=onset)
        return [explained(symptom, view, name, by_cause=len(found) == len(weighted))]

    def _is_flat(self, name: str) -> bool:
        first, last = self.values.first(name, _FEWEST), self.values.last(name, _FEWEST)
        return len(last) == _FEWEST and not _fell(first, last, self._errors)

    def _at_chance(self, view: View, name: str) -> str:
        """What to say of a term at chance; nothing of others."""
        mean, error = mean_and_error(self.values.last(name, _FEWEST))
        if error > self._power * abs(mean):
            return ""
        unit, chance = view.term_specs[name].unit, view.term_specs[name].chance
        if chance is not None:
            near = abs(mean - chance) <= self._errors * error and self._is_flat(name)
            return f"{name} = {mean:.4g} +- {error:.2g} {unit}, chance {chance:.4g}" if near else ""
        gains = self.values.last(f"gain {name}", KEPT)
        gain, gain_error = mean_and_error(gains)
        if len(gains) < _FEWEST:
            return ""
        least, most = _ROUNDING * abs(mean), self._power * abs(mean)
        if not least < gain_error <= most or abs(gain) > min(most, self._errors * gain_error):
            return ""
        return f"{name} = {mean:.4g} {unit}, and {mean + gain:.4g} when every item is given another's outputs"


class NothingMoves(RememberingValues):
    """Half of the weight matrices are where they began, and no term has fallen.

    Args:
        moved: median displacement over the initial size, below which nothing moved.
        errors: standard errors that a term has to fall.
        warn_at: share of the planned steps.
    """

    name = "nothing_moves"

    def __init__(self, *, moved: float = STILL, errors: float = 3.0, warn_at: float = 0.5) -> None:
        super().__init__()
        self._moved, self._errors, self._warn_at = moved, errors, warn_at

    def look(self, view: View) -> Sequence[Verdict]:
        for name, value in view.terms.items():
            if view.weights[name] > 0:
                self.values.add(name, value)
        if view.progress < self._warn_at or self._some_term_fell(view):
            return []
        moved = displacement(view)
        self.bad.update(["any"] if moved < self._moved else [], step=view.step)
        if self.bad.length("any") == 0:
            return []
        evidence = f"the median weight matrix has moved by {moved:.2%} of its size, and no term has fallen"
        symptom = NOTHING_LEARNED.verdict("warn", evidence, step=self.bad.onset("any"))
        return [explained(symptom, view, by_cause=True)]

    def _some_term_fell(self, view: View) -> bool:
        return any(_has_fallen(self.values, name, self._errors) for name, weight in view.weights.items() if weight > 0)


def _has_fallen(values: History, name: str, errors: float) -> bool:
    first, last = values.first(name, _FEWEST), values.last(name, _FEWEST)
    return len(last) < _FEWEST or _fell(first, last, errors)


def _fell(first: list[float], last: list[float], errors: float) -> bool:
    """By so many standard errors; or, where a steep start makes these large, without any overlap."""
    if max(last) < min(first):
        return True
    (before, before_error), (after, after_error) = mean_and_error(first), mean_and_error(last)
    return before - after > errors * float((before_error**2 + after_error**2) ** 0.5)
