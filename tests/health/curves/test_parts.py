"""Series, their noise, and what their names say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distsys.health.curves.history import Meaning, series_of, shared
from distsys.health.curves.names import guess, with_guesses
from distsys.health.curves.noise import change, mean_and_error, moved, noise_of, smooth, spread_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_loss", Meaning("loss", "validation", "min", of="loss")),
        ("train/loss_epoch", Meaning("loss", "train", "min", of="loss")),
        ("trainloss", Meaning("loss", "train", "min", of="loss")),
        ("valAcc", Meaning("metric", "validation", "max", low=0.0, of="acc")),
        ("metrics/mAP50(B)", Meaning("metric", "", "max", of="map50 b")),
        ("mean_squared_error", Meaning("metric", "", "min", low=0.0, of="mse")),
        ("neg_mean_squared_error", Meaning("metric", "", "max", of="neg mse")),
        ("val/SI-SDR", Meaning("metric", "validation", "max", of="sisdr")),
        ("val/si_sdr_loss", Meaning("term", "validation", "min", of="sisdr loss")),
        ("bce_loss", Meaning("term", "", "min", low=0.0, of="bce loss")),
        ("loss_G", Meaning("term", "", "min", of="loss g", is_free=True)),
        ("kl_loss", Meaning("term", "", "min", of="kl loss", is_penalty=True)),
        ("lr-AdamW", Meaning("rate", of="lr adam w")),
        ("loss_scale", Meaning(of="loss scale")),
        ("train/grad_norm", Meaning("other", "train", of="grad norm")),
        ("val_dice_coef", Meaning("metric", "validation", "max", of="dice coef")),
    ],
)
def test_a_name_says_what_it_is(name: str, expected: Meaning) -> None:
    assert guess(name) == expected


def kinds(*names: str) -> dict[str, tuple[str, str]]:
    found = with_guesses(series_of(name, [1, 2], [1.0, 2.0]) for name in names)
    return {item.name: (item.meaning.kind, item.meaning.split) for item in found}


def test_names_are_read_beside_each_other() -> None:
    assert kinds("loss", "val_loss", "acc", "val_acc")["loss"] == ("loss", "train")
    assert kinds("loss", "train_loss")["loss"] == ("loss", "validation")
    assert kinds("loss", "acc")["acc"] == ("metric", "")
    assert kinds("train_ce", "val_ce", "val_acc")["val_ce"] == ("loss", "validation")
    assert kinds("val_mae", "val_wer")["val_mae"] == ("metric", "validation")


def test_a_later_value_of_a_step_stands_and_repetitions_are_kept() -> None:
    series = series_of("a", [1, 2, 2, 3, 2, 3, 4], [1.0, 2.0, 2.5, 3.0, 20.0, 30.0, 40.0])
    assert series.steps.tolist() == [1, 2, 3, 4]
    assert series.values.tolist() == [1.0, 20.0, 30.0, 40.0]
    assert series.repeats == ((2.0, 2.0, 2.5),)  # what a resumed run writes again is none


def test_rows_within_an_epoch_are_spread_over_it() -> None:
    series = series_of("a", [0, 0, 0, 0, 1, 1, 1, 1], range(8))
    assert series.steps.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    assert series.repeats == ()
    assert series_of("a", [0, 0, 0, 0], range(4)).steps.tolist() == [0, 1, 2, 3]


def test_shared_steps_leave_out_what_is_not_finite() -> None:
    one, other = series_of("a", [1, 2, 3], [1.0, math.nan, 3.0]), series_of("b", [2, 3, 4], [20.0, 30.0, 40.0])
    assert [part.tolist() for part in shared(one, other)] == [[3], [3.0], [30.0]]


def test_noise_is_measured_around_the_course() -> None:
    rng, at = np.random.default_rng(0), np.linspace(0, 1, 2000)
    values = 50.0 * np.exp(-3 * at) + 0.7 * rng.normal(size=2000)
    assert spread_of(values) == pytest.approx(0.7, rel=0.1)
    values[700:] += 30.0
    values[100] = 1e6
    assert spread_of(values) == pytest.approx(0.7, rel=0.1)
    assert spread_of(np.arange(10.0)) == pytest.approx(0.0, abs=1e-12)
    assert noise_of(values[:12]) > 1.4 * spread_of(values[:12])


def test_a_correlated_mean_has_a_larger_error() -> None:
    rng = np.random.default_rng(1)
    white = rng.normal(size=400)
    slow = np.convolve(rng.normal(size=419), np.ones(20) / math.sqrt(20), mode="valid")
    assert mean_and_error(white)[1] == pytest.approx(0.05, rel=0.15)
    assert mean_and_error(slow)[1] > 3 * mean_and_error(white)[1]
    assert mean_and_error(np.array([2.0])) == (2.0, math.inf)


def test_a_change_is_seen_against_its_error() -> None:
    rng = np.random.default_rng(2)
    flat, falling = rng.normal(size=90), rng.normal(size=90) - np.linspace(0, 3, 90)
    assert not moved(flat)
    assert moved(falling)
    assert change(falling)[0] == pytest.approx(-2.0, abs=0.5)


def test_smoothing_keeps_ends_and_steps_and_drops_spikes() -> None:
    values = np.concatenate([np.zeros(20), np.ones(20)])
    values[7] = 50.0
    found = smooth(values)
    assert len(found) == 40
    assert found.max() == 1.0
    assert found[0] == 0.0 and found[-1] == 1.0
