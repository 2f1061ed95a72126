"""The choice of a checkpoint: constraints before the metric, the metric before the loss, ties to the earlier."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from distsys.domains.protocol import MetricSpec
from distsys.health.verdict import Constraint, Verdict
from distsys.training.evaluate import Validation
from distsys.training.selection import Selection, paired_floor

LOW = MetricSpec("mae", "min", "V")
SICK = Verdict("stop", "rms_ratio outside its band", "rms_ratio = 0.6, band [0.9, 1.1]", 20, "raise lambda_amp")


def seen(step: int, items: list[float], *, loss: float = 1.0, verdicts: tuple[Verdict, ...] = ()) -> Validation:
    value = float(np.mean(items))
    return Validation(step, loss, {"mae": value}, {}, {}, {}, items, verdicts)


def test_a_sick_validation_is_never_chosen_even_when_metric_and_loss_love_it() -> None:
    selection = Selection(LOW)
    selection.update(seen(10, [2.0, 2.1, 2.2], loss=5.0))
    selection.update(seen(20, [0.1, 0.1, 0.1], loss=0.1, verdicts=(SICK,)))
    assert selection.best is not None
    assert selection.best.step == 10
    assert selection.by_loss is not None
    assert selection.by_loss.step == 20
    assert selection.last_healthy_step == 10


def test_without_a_healthy_validation_nothing_is_chosen() -> None:
    selection = Selection(LOW)
    selection.update(seen(10, [1.0], verdicts=(SICK,)))
    assert selection.best is None
    assert selection.last_healthy_step is None


def test_the_metric_chooses_not_the_loss() -> None:
    selection = Selection(LOW)
    selection.update(seen(10, [1.0, 1.0, 1.0], loss=9.0))
    selection.update(seen(20, [3.0, 3.0, 3.0], loss=0.0))
    assert selection.best is not None
    assert selection.best.step == 10


def test_the_other_metric_of_a_domain_decides_ties_and_never_more() -> None:
    spec = MetricSpec("mae", "min", "V", ties_by=MetricSpec("encoder", "min", "V"))

    def told(step: int, items: list[float], encoder: float) -> int:
        found = seen(step, items)
        selection.update(replace(found, metrics={**found.metrics, "encoder": encoder}))
        assert selection.best is not None
        return selection.best.step

    selection = Selection(spec)
    assert told(10, [1.0, 2.0, 3.0, 4.0], 5.0) == 10
    assert told(20, [1.3, 1.9, 3.2, 3.8], 4.0) == 20  # worse by 0.05, floor about 0.12
    assert told(30, [1.2, 2.0, 3.1, 3.9], 4.5) == 20
    assert told(40, [1.9, 2.9, 3.9, 4.9], 1.0) == 20  # clearly worse
    assert told(50, [0.5, 1.5, 2.5, 3.5], 9.0) == 50  # clearly better
    again = Selection(spec)
    again.load(json.loads(json.dumps(selection.state())))
    assert again.best is not None
    assert (again.best.step, again.former[-1].step) == (50, 20)


def test_many_ties_in_a_row_do_not_lead_far_away() -> None:
    selection = Selection(MetricSpec("mae", "min", "V", ties_by=MetricSpec("encoder", "min", "V")))
    noise = np.array([0.4, -0.4, 0.4, -0.4])
    for step in range(20):
        found = seen(step, list(np.array([1.0, 2.0, 3.0, 4.0]) + 0.05 * step + noise * (step % 2)))
        selection.update(replace(found, metrics={**found.metrics, "encoder": 20.0 - step}))
    assert selection.best is not None
    assert selection.best.step in (1, 3)  # those nearer than the floor of 0.23 to the first


def test_a_difference_below_the_paired_noise_floor_is_a_tie() -> None:
    selection = Selection(LOW)
    selection.update(seen(10, [1.0, 2.0, 3.0, 4.0]))
    selection.update(seen(20, [0.2, 2.6, 2.4, 4.7]))  # mean better by 0.025, floor about 0.34
    assert selection.best is not None
    assert selection.best.step == 10
    selection.update(seen(30, [0.9, 1.9, 2.9, 3.9]))  # better by 0.1 on every item
    assert selection.best.step == 30


def test_the_paired_floor_by_hand() -> None:
    assert paired_floor([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]) == pytest.approx(1.0 / math.sqrt(3))
    assert paired_floor([1.0, 2.0], [0.0, 1.0]) == 0.0
    assert paired_floor([1.0], [2.0]) == 0.0
    assert paired_floor([1.0, math.nan], [2.0, 1.0]) == 0.0


def test_a_metric_that_is_not_finite_never_wins() -> None:
    selection = Selection(MetricSpec("mae", "max", "dB"))
    selection.update(seen(10, [1.0, 1.0]))
    for bad in (math.nan, math.inf):
        selection.update(seen(20, [bad, bad]))
    assert selection.best is not None
    assert selection.best.step == 10


def test_its_state_survives_a_checkpoint() -> None:
    selection = Selection(LOW)
    selection.update(seen(10, [1.0, 2.0]))
    selection.update(seen(20, [5.0, 6.0], verdicts=(SICK,)))
    other = Selection(LOW)
    other.load(selection.state())
    assert other == selection


@pytest.mark.parametrize(
    ("value", "violation"), [(1.0, 0.0), (0.9, 0.0), (1.1, 0.0), (0.5, 0.4), (1.5, 0.4), (math.nan, math.inf)]
)
def test_a_constraint_watches_both_sides_and_judges_nan(value: float, violation: float) -> None:
    constraint = Constraint("rms_ratio", 0.9, 1.1, fix="raise lambda_amp")
    assert constraint.violation(value) == pytest.approx(violation)
    verdict = constraint.judge(value, step=7)
    assert (verdict.status == "ok") == (violation == 0.0)
    if verdict.status == "stop":
        assert verdict.onset_step == 7
        assert "band [0.9, 1.1]" in verdict.evidence
        assert verdict.fix == "raise lambda_amp"


def test_what_is_found_later_takes_back_what_was_chosen_after_its_onset() -> None:
    late = Verdict("stop", "constant outputs", "spread 0", 15, "look for a dead path")
    selection = Selection(LOW)
    selection.update(seen(10, [0.3, 0.3]))
    selection.retract([late])
    assert selection.best is not None
    selection.update(seen(20, [0.1, 0.1], loss=0.5))
    selection.retract([late])
    assert selection.best is not None
    assert selection.best.step == 10
    assert selection.last_healthy_step == 10
    for choice in (selection.by_loss, selection.nearest):
        assert choice is not None
        assert (choice.step, choice.is_sick, choice.verdicts[0].cause) == (20, True, "constant outputs")


def test_a_warning_takes_nothing_back() -> None:
    selection = Selection(LOW)
    selection.update(seen(10, [0.3, 0.3]))
    selection.retract([Verdict("warn", "a term stays at chance", "", 5)])
    assert selection.best is not None


def test_what_was_best_before_an_onset_is_best_again_and_kept_for_that() -> None:
    selection = Selection(LOW)
    for step in (10, 20, 30, 40, 50, 60):
        selection.update(seen(step, [100.0 - step, 101.0 - step]))
    assert [item.step for item in selection.former] == [10, 40, 50]
    assert selection.named_steps == {10, 40, 50, 60}
    again = Selection(LOW)
    again.load(selection.state())
    assert again == selection
    for onset, left in ((45, 40), (35, 10), (10, None)):
        selection.retract([Verdict("stop", "constant outputs", "spread 0", onset)])
        assert (selection.best and selection.best.step) == left
        assert selection.last_healthy_step == left


def test_the_last_healthy_step_stays_where_it_came_before_the_onset() -> None:
    selection = Selection(LOW)
    for step, value in ((10, 1.0), (20, 1.5)):
        selection.update(seen(step, [value, value + 0.1]))
    selection.retract([Verdict("stop", "constant outputs", "spread 0", 25)])
    assert selection.best is not None
    assert (selection.best.step, selection.last_healthy_step) == (10, 20)


def course(values: list[float], losses: list[float], *, weight: Callable[[int], float] = lambda step: 1.0) -> Selection:
    """A run whose metric and loss went so; every item has the metric's value, so that nothing is noise."""
    chosen = Selection(LOW)
    for step, (value, loss) in enumerate(zip(values, losses, strict=True), start=1):
        chosen.update(replace(seen(step, [value] * 4, loss=loss), weights={"lambda_fit": weight(step)}))
    return chosen


FALLING = [1.0 / step for step in range(1, 11)]


def test_a_loss_that_falls_while_the_metric_gets_worse_is_named() -> None:
    verdict = course([0.1 * step for step in range(1, 11)], FALLING).disagreement()
    assert verdict is not None
    assert (verdict.status, verdict.cause, verdict.onset_step) == ("warn", "loss and metric disagree", 10)
    assert "rank correlation is -1.00" in verdict.evidence
    assert "the best, at step 1, 0.1" in verdict.evidence


@pytest.mark.parametrize(
    ("values", "losses"),
    [
        (FALLING, FALLING),
        ([0.1 * step for step in range(1, 8)], FALLING[:7]),
        ([1.0, 0.5, 0.4, 0.3, 0.3, 0.35, 0.3, 0.35, 0.3, 0.31], FALLING),
        ([0.1 * step for step in range(1, 11)], [0.1 * step for step in range(1, 11)]),
        ([1.0] * 3, FALLING[:3]),
        ([1.0] * 10, [1.0] * 10),
    ],
    ids=["both fall", "too few", "the metric saturates", "both rise", "constant for a while", "both constant"],
)
def test_loss_and_metric_that_agree_or_say_little_are_healthy(values: list[float], losses: list[float]) -> None:
    assert course(values, losses).disagreement() is None


def test_a_metric_that_tells_nothing_chose_nothing() -> None:
    verdict = course([1.0] * 4, FALLING[:4]).disagreement()
    assert verdict is not None
    assert (verdict.status, verdict.cause) == ("warn", "loss and metric disagree")
    assert "= 1 V at each of 4 validations: it chose none" in verdict.evidence


def test_a_disagreement_of_sick_validations_is_named_too() -> None:
    chosen = Selection(LOW)
    for step, loss in enumerate(FALLING, start=1):
        chosen.update(seen(step, [0.1 * step] * 4, loss=loss, verdicts=(SICK,)))
    assert chosen.best is None
    assert chosen.disagreement() is not None


def test_a_loss_under_weights_that_move_is_not_compared() -> None:
    rising = [10.0 / value for value in range(10, 0, -1)]
    assert course(FALLING, rising, weight=lambda step: 0.1 * step).disagreement() is None
    assert course(FALLING, rising).disagreement() is not None


def test_a_disagreement_survives_a_checkpoint() -> None:
    before = course([0.1 * step for step in range(1, 11)], FALLING)
    after = Selection(LOW)
    after.load(json.loads(json.dumps(before.state())))
    assert after.disagreement() == before.disagreement() is not None
