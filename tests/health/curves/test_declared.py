"""What is declared of a run decides: bounds, bands, the metric, its noise, the schedule, chance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distsys.health import causes
from distsys.health.curves.history import History, Meaning, series_of
from distsys.health.curves.registry import CHECKS, examine_curves
from distsys.health.verdict import Constraint, Verdict
from distsys.specs import MetricSpec
from tests.health.curves.simulation import Curves, Points, cosine, decaying, history, noisy, rising

STEPS = np.arange(0, 600, 20)
RNG = np.random.default_rng(7)


def declared(name: str, points: Points, meaning: Meaning, beside: Curves, **known: object) -> History:
    """A history in which one series has a declared meaning."""
    steps, values = points
    found = history(beside, **known)
    return replace(found, series=(*found.series, series_of(name, list(steps), list(values), meaning)))


def only(found: list[Verdict]) -> Verdict:
    (verdict,) = found
    return verdict


def test_a_term_below_its_declared_bound_stops() -> None:
    meaning = Meaning("term", "validation", "min", low=-20.0, is_guess=False)
    values = decaying(STEPS, 5.0, -25.0)
    beside: Curves = {"train_loss": (STEPS, decaying(STEPS, 1.0, 0.2))}
    verdict = only(examine_curves(declared("term/fit", (STEPS, values), meaning, beside)))
    first = int(STEPS[np.flatnonzero(values < -20.03)[0]])
    assert (verdict.status, verdict.cause, verdict.onset_step) == ("stop", causes.UNBOUNDED_TERM.name, first)
    assert "term/fit = -24.8 at step 580" in verdict.evidence
    assert "declared lower bound -20" in verdict.evidence
    assert examine_curves(declared("term/fit", (STEPS, values + 6.0), meaning, beside)) == []


@pytest.mark.parametrize(("value", "error"), [(0.4, "stop"), (0.95, None)])
def test_the_chosen_checkpoint_is_held_to_its_bands(value: float, error: str | None) -> None:
    ratio = np.full(len(STEPS), 1.0)
    ratio[10] = value
    band = Constraint("rms_ratio", 0.9, 1.1, "anchor the amplitude")
    found = examine_curves(history({"rms_ratio": (STEPS, ratio)}, bands=(band,), chosen=200))
    assert [item.status for item in found] == ([error] if error else [])
    if error:
        assert found[0] == Verdict(
            "stop", "rms_ratio outside its band", "rms_ratio = 0.4, band [0.9, 1.1]", 200, "anchor the amplitude"
        )


def test_without_a_choice_the_end_is_held_to_its_bands() -> None:
    curves: Curves = {"rms_ratio": (STEPS, np.linspace(1.0, 0.2, len(STEPS)))}
    band = Constraint("rms_ratio", 0.9, 1.1)
    assert only(examine_curves(history(curves, bands=(band,)))).onset_step == STEPS[-1]


def two_choices() -> Curves:
    metric = rising(STEPS, 2.0, 8.0) - np.maximum(STEPS - 300, 0) / 100
    return {"val_loss": (STEPS, decaying(STEPS, 3.0, 1.0, 400)), "sdr": (STEPS, metric)}


def test_a_known_noise_decides_whether_loss_and_metric_disagree() -> None:
    spec = MetricSpec("sdr", "max", "dB")
    verdict = only(examine_curves(history(two_choices(), selection=spec, tie=0.1)))
    assert (verdict.cause, verdict.status, verdict.onset_step) == (causes.LOSS_AGAINST_METRIC.name, "warn", 580)
    assert "sdr is best at step 300" in verdict.evidence
    assert examine_curves(history(two_choices(), selection=spec, tie=5.0)) == []


def test_another_metric_than_the_declared_one_does_not_speak() -> None:
    curves = {**two_choices(), "val_acc": (STEPS, rising(STEPS, 0.2, 0.9))}
    assert examine_curves(history(curves, selection=MetricSpec("val_acc", "max", ""))) == []


def test_a_rate_is_held_to_its_schedule_after_the_steps_that_were_taken() -> None:
    rate = 1e-3 * cosine(STEPS / 600)
    curves: Curves = {"loss": (STEPS, decaying(STEPS, 1.0, 0.2)), "learning_rate": (STEPS, rate)}
    right = history(curves)
    rates = right.get("learning_rate")
    assert rates is not None
    assert examine_curves(replace(right, expected_rate=rates)) == []
    late = replace(rates, values=np.where(STEPS > 200, np.roll(rates.values, 1), rates.values))
    verdict = only(examine_curves(replace(right, expected_rate=late)))
    assert (verdict.cause, verdict.onset_step) == (causes.SCHEDULE_ORDER.name, 220)
    assert "19 of 30 points differ" in verdict.evidence


def test_a_warm_up_that_settings_name_has_to_be_seen() -> None:
    steps = np.arange(0, 1000, 10)
    skipped: Curves = {"loss": (steps, decaying(steps, 1.0, 0.2)), "lr": (steps, 1e-3 * cosine(steps / 1000) ** 0.01)}
    flat: Curves = {**skipped, "lr": (steps, np.full(100, 1e-3))}
    assert examine_curves(history(flat)) == []
    verdict = only(examine_curves(history(flat, facts={"warmup_steps": 200.0})))
    assert (verdict.cause, verdict.onset_step) == (causes.SCHEDULE_PACE.name, 0)
    assert "a warm-up of 200 steps was set" in verdict.evidence
    warmed = {**flat, "lr": (steps, 1e-3 * np.minimum(1.0, (steps + 1) / 200))}
    assert examine_curves(history(warmed, facts={"warmup_steps": 200.0})) == []


def test_chance_is_named_by_the_size_of_the_batch() -> None:
    curves: Curves = {
        "loss": (STEPS, noisy(RNG, decaying(STEPS, 2.0, 1.0), 0.01)),
        "contrastive_loss": (STEPS, noisy(RNG, np.full(30, math.log(32)), 0.01)),
    }
    verdict = only(examine_curves(history(curves, facts={"train_batch_size": 32.0})))
    assert verdict.cause == causes.AT_CHANCE.name
    assert "chance ln 32 = 3.466 for batches of 32" in verdict.evidence


@pytest.mark.parametrize(("level", "is_found"), [(0.693, True), (0.5, False)])
def test_a_declared_chance_is_the_only_one(level: float, is_found: bool) -> None:
    meaning = Meaning("term", "validation", "min", chance=0.693, is_guess=False)
    values = noisy(RNG, np.full(30, level), 1e-4)
    beside: Curves = {"train_loss": (STEPS, decaying(STEPS, 1.0, 0.2))}
    found = examine_curves(declared("term/pairs", (STEPS, values), meaning, beside))
    assert [item.cause for item in found] == ([causes.AT_CHANCE.name] if is_found else [])


def test_a_term_at_its_declared_floor_has_nothing_to_gain() -> None:
    meaning = Meaning("term", "validation", "min", low=-2.0, is_guess=False)
    beside: Curves = {"train_loss": (STEPS, decaying(STEPS, 1.0, 0.2))}
    assert examine_curves(declared("term/gap", (STEPS, np.full(30, -2.0)), meaning, beside)) == []
    above = examine_curves(declared("term/gap", (STEPS, np.full(30, -1.0)), meaning, beside))
    assert only(above).cause == causes.AT_CHANCE.name


def test_a_flat_term_is_not_at_chance_where_nothing_else_moves() -> None:
    curves: Curves = {name: (STEPS, noisy(RNG, np.full(30, 0.7), 1e-3)) for name in ("train/loss", "train/align_loss")}
    assert only(examine_curves(history(curves))).cause == causes.NOTHING_LEARNED.name


def test_what_begins_after_the_chosen_checkpoint_does_not_stop_it() -> None:
    loss = decaying(STEPS, 1.0, 0.2)
    loss[20:] = math.nan
    curves: Curves = {"train_loss": (STEPS, loss)}
    assert only(examine_curves(history(curves, chosen=380))).status == "warn"
    assert only(examine_curves(history(curves, chosen=400))).status == "stop"


def test_the_metric_that_chooses_must_not_end_as_nan() -> None:
    metric = rising(STEPS, 0.1, 0.9)
    metric[20:] = math.nan
    curves: Curves = {"acc": (STEPS, metric)}
    assert only(examine_curves(history(curves))).status == "warn"
    stop = only(examine_curves(history(curves, selection=MetricSpec("acc", "max", ""))))
    assert (stop.status, stop.onset_step) == ("stop", 400)


def test_a_share_is_judged_without_the_weight_that_made_it() -> None:
    shares: Curves = {
        "gradient_share/a": (STEPS, np.full(30, 0.9995)),
        "gradient_share/b": (STEPS, np.full(30, 0.0005)),
        "lambda_a": (STEPS, np.ones(30)),
    }
    weighed = {**shares, "lambda_b": (STEPS, np.full(30, 1e-3))}
    assert examine_curves(history(weighed)) == []
    alike = {**shares, "lambda_b": (STEPS, np.ones(30))}
    assert only(examine_curves(history(alike))).cause == causes.ONE_TERM.name


def test_alike_curves_are_one_verdict_of_the_earliest() -> None:
    curves: Curves = {}
    for index, end in enumerate((20, 10, 15)):
        values = decaying(STEPS, 1.0, 0.2)
        values[end:] = math.nan
        curves[f"train/part{index}_loss"] = (STEPS, values)
    verdict = only(examine_curves(history(curves)))
    assert verdict.onset_step == STEPS[10]
    assert verdict.evidence.endswith("(2 more curves like it)")


@pytest.mark.parametrize("check", CHECKS, ids=lambda item: item.__name__)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_no_check_fails_on_the_shortest_curves(check: object, count: int) -> None:
    steps = np.arange(count)
    for values in (np.full(count, math.nan), np.zeros(count), np.arange(count) * 1.0, np.full(count, -math.inf)):
        names = ("loss", "val_loss", "val_acc", "lr", "align_loss", "gradient_share/a", "gradient_share/b", "skipped")
        found = history({name: (steps, values) for name in names}, bands=(Constraint("val_acc", 0.1),))
        assert isinstance(list(check(found)), list)  # type: ignore[operator]
