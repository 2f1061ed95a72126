"""Every check of curves, in the order in which what they find is told: causes before what they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from distsys.health.curves.carrying import overfits
from distsys.health.curves.chance import at_chance
from distsys.health.curves.choice import disagree, outside_bands
from distsys.health.curves.evaluation import not_repeatable, too_noisy, too_small
from distsys.health.curves.finite import not_finite
from distsys.health.curves.floors import below_floor, falls_without_end
from distsys.health.curves.history import History
from distsys.health.curves.losses import diverges, jumps, stays
from distsys.health.curves.schedule import out_of_order, out_of_pace, rate_of_zero
from distsys.health.curves.shares import one_term
from distsys.health.verdict import Verdict

CurveCheck = Callable[[History], Iterator[Verdict]]

CHECKS: tuple[CurveCheck, ...] = (
    not_finite,
    rate_of_zero,
    out_of_order,
    out_of_pace,
    below_floor,
    falls_without_end,
    one_term,
    at_chance,
    diverges,
    jumps,
    not_repeatable,
    too_noisy,
    too_small,
    overfits,
    stays,
    disagree,
    outside_bands,
)


def examine_curves(history: History) -> list[Verdict]:
    """What is wrong with a run, ``stop`` first; one verdict a cause, of the earliest curve that shows it."""
    found: dict[str, list[Verdict]] = {}
    for check in CHECKS:
        for verdict in check(history):
            found.setdefault(verdict.cause, []).append(verdict)
    merged = [_standing(history, _merged(verdicts)) for verdicts in found.values()]
    return sorted(merged, key=lambda verdict: verdict.status != "stop")


def _standing(history: History, verdict: Verdict) -> Verdict:
    """A ``stop`` whose onset is after the checkpoint that was chosen says nothing against it."""
    is_late = history.chosen is not None and history.chosen < verdict.onset_step
    return replace(verdict, status="warn") if is_late and verdict.status == "stop" else verdict


def _merged(verdicts: list[Verdict]) -> Verdict:
    """The first of the gravest verdicts, which says how many curves show the same."""
    first = min(verdicts, key=lambda verdict: (verdict.status != "stop", verdict.onset_step))
    others = len(verdicts) - 1
    more = f" ({others} more curve{'' if others == 1 else 's'} like it)" if others else ""
    return replace(first, evidence=first.evidence + more)
