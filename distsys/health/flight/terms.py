"""Loss terms that break their contract or do nothing: below their bound, dead, drowned by another (D11, D12, D24)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from distsys.health.causes import DEAD_TERM, ONE_TERM, UNBOUNDED_TERM
from distsys.health.check import View
from distsys.health.memory import Remembering, RememberingValues, fell_a_tenth
from distsys.health.verdict import Status, Verdict

_TOLERANCE = 1e-3
"""Of a bound, relative to its size but at least 1: sums in float32."""


def is_above_floor(view: View, term: str) -> bool:
    """Whether there is anything left for the term to gain; where no floor is declared there is."""
    bound = view.term_specs[term].lower_bound
    return not math.isfinite(bound) or view.terms[term] > bound + _TOLERANCE * (1.0 + abs(bound))


def floor_of(view: View, term: str) -> float:
    """The declared bound; 0 where there is none."""
    bound = view.term_specs[term].lower_bound
    return bound if math.isfinite(bound) else 0.0


class TermBounds(Remembering):
    """A term falls below the lower bound that its domain declares: suppression would pay (D11)."""

    name = "term_bounds"

    def look(self, view: View) -> Sequence[Verdict]:
        low = {}
        for name, value in view.terms.items():
            bound = view.term_specs[name].lower_bound
            if value < bound - _TOLERANCE * (1.0 + abs(bound)):
                low[name] = f"{name} = {value:.4g} {view.term_specs[name].unit}, declared lower bound {bound:g}"
        self.bad.update(low, step=view.step)
        return [UNBOUNDED_TERM.verdict("stop", low[n], step=self.bad.onset(n)) for n in sorted(low)][:1]


class DeadTerms(RememberingValues):
    """A weighted term above its floor has no gradient for (almost) all items (D12).

    Healthy are a hinge at its floor, and a term that few items still feel while it falls.

    Args:
        live: share of items with a gradient that counts as almost none; judged only if the term does not fall.
        looks: in a row, for a term without any gradient; half as many again for one with almost none.
        stop_at: share of the planned steps.
    """

    name = "dead_terms"

    def __init__(self, *, live: float = 0.01, looks: float = 4, stop_at: float = 0.1) -> None:
        super().__init__()
        self._live, self._looks, self._stop_at = live, looks, stop_at

    def look(self, view: View) -> Sequence[Verdict] | None:
        if not view.is_warm or not view.live:
            return None
        weighted = [name for name, weight in view.weights.items() if weight > 0 and is_above_floor(view, name)]
        for name in weighted:
            self.values.add(name, view.terms[name])
        none = [name for name in weighted if view.live[name] == 0.0]
        few = [name for name in weighted if view.live[name] <= self._live and self._stays(view, name)]
        self.bad.update([*(f"none {name}" for name in none), *(f"few {name}" for name in few)], step=view.step)
        is_late = view.progress >= self._stop_at
        for key, looks in [(f"none {n}", self._looks) for n in none] + [(f"few {n}", 1.5 * self._looks) for n in few]:
            length, name = self.bad.length(key), key.split(" ", 1)[1]
            if length >= looks:
                evidence = (
                    f"{name} = {view.terms[name]:.4g} {view.term_specs[name].unit} is above its floor, and "
                    f"{1 - view.live[name]:.0%} of items give it no gradient, at {length} looks in a row"
                )
                status: Status = "stop" if is_late and length >= 1.5 * self._looks else "warn"
                return [DEAD_TERM.verdict(status, evidence, step=self.bad.onset(key))]
        return []

    def _stays(self, view: View, name: str) -> bool:
        """Whether the term keeps 90 % of its distance from the floor, since it was first seen."""
        floor, first = floor_of(view, name), self.values.first(name, 1)[0]
        return view.terms[name] - floor >= 0.9 * (first - floor)


class OneTerm(RememberingValues):
    """One term has almost all of the gradient, and not because it was given a large weight (D24).

    Judged are terms with a weight and a gradient, above their floor. ``stop`` where drowned ones do not fall either:
    then the spell lasts until they do, or have ten times what ``share`` leaves them, since a dominant term that is
    learned has less of the gradient, but has decided everything by then.

    Args:
        share: of the sum of gradient norms, with weights and without.
        looks: validations in a row.
        stop_at: share of the planned steps.
    """

    name = "one_term"
    at_validation = True

    def __init__(self, *, share: float = 0.999, looks: float = 2, stop_at: float = 0.5) -> None:
        super().__init__()
        self._share, self._looks, self._stop_at = share, looks, stop_at

    def look(self, view: View) -> Sequence[Verdict]:
        alive = {name: share for name, share in view.shares.items() if share > 0 and view.weights[name] > 0}
        for name in alive:
            self.values.add(name, view.terms[name])
        first = max(alive, key=lambda name: alive[name], default="")
        drowned = [name for name in alive if name != first and is_above_floor(view, name)]
        stuck = [name for name in drowned if not fell_a_tenth(self.values, name, floor=floor_of(view, name))]
        is_long = self.bad.length(first) >= self._looks
        rest = (10.0 if is_long and stuck else 1.0) * (1.0 - self._share)
        self.bad.update([first] if drowned and _is_alone(first, alive, view, rest) else [], step=view.step)
        if self.bad.length(first) < self._looks:
            return []
        evidence = f"{first} has {alive[first]:.4%} of the gradient norm, {', '.join(drowned)} the rest"
        evidence += f"; {stuck[0]} = {view.terms[stuck[0]]:.4g} has not fallen" if stuck else ""
        status: Status = "stop" if stuck and view.progress >= self._stop_at else "warn"
        return [ONE_TERM.verdict(status, evidence, step=self.bad.onset(first))]


def _is_alone(first: str, alive: Mapping[str, float], view: View, rest: float) -> bool:
    """Whether the others have less than ``rest`` of the gradient norms, with weights and without."""
    raw = {name: share / view.weights[name] for name, share in alive.items()}
    return alive[first] > 1.0 - rest and raw[first] > (1.0 - rest) * sum(raw.values())
