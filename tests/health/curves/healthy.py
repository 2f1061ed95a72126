"""Healthy histories that look like sick ones: each is the twin of a rule that could cry wolf."""

from __future__ import annotations

import math

import numpy as np

from tests.health.curves.healthy_rates import with_rate
from tests.health.curves.simulation import Curves, case, cosine, decaying, noisy, rising

NOISES = (0.3, 1.0, 2.0)


@case(strengths=NOISES)
def plain(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    return {
        "train/loss": (steps, noisy(rng, decaying(steps, 2.3, 0.3), 0.05 * strength)),
        "val/loss": (steps, noisy(rng, decaying(steps, 2.3, 0.45), 0.03 * strength)),
        "val/acc": (steps, noisy(rng, rising(steps, 0.1, 0.9), 0.01 * strength)),
        "lr": (steps, 1e-3 * cosine(steps / 100)),
    }


@case()
def three_points(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.array([20, 40, 60])
    return {
        "loss": (steps, noisy(rng, np.array([0.5, 0.4, 0.35]), 0.1)),
        "train_loss": (steps, noisy(rng, np.array([0.5, 0.4, 0.35]), 0.1)),
        "mae": (steps, noisy(rng, np.array([0.5, 0.45, 0.44]), 0.02)),
        "learning_rate": (steps, np.array([7e-4, 2e-4, 0.0])),
        "term/size": (steps, noisy(rng, np.full(3, 0.7), 0.001)),
    }


@case(strengths=NOISES)
def adversaries(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(300)
    wander = np.cumsum(rng.normal(size=300)) * 0.05 * strength
    return {
        "g_loss": (steps, noisy(rng, 1.0 + 2.0 * steps / 300 + wander, 0.4)),
        "d_loss": (steps, noisy(rng, np.full(300, 2 * math.log(2)), 0.02)),
        "train/gen_loss": (steps, noisy(rng, 1.0 - 6.0 * (steps / 300) ** 2, 0.3 * strength)),
        "loss_D_fake": (steps, noisy(rng, np.full(300, math.log(2)), 0.01)),
        "val_fid": (steps[::30], noisy(rng, decaying(np.arange(10), 120.0, 18.0), 1.0)),
    }


@case()
def flat_then_falling(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(200)
    loss = np.where(steps < 120, 2.3, 0.3 + 2.0 * np.exp(-(steps - 120) / 20))
    return {
        "train_loss": (steps, noisy(rng, loss, 0.02)),
        "align_loss": (steps, noisy(rng, np.where(steps < 150, 0.69, 0.69 * np.exp(-(steps - 150) / 20)), 0.01)),
    }


@case(strengths=NOISES)
def a_ratio_in_db(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(80)
    ratio = rising(steps, 0.0, 12.0, 25)
    return {
        "train/si_sdr_loss": (steps, noisy(rng, -ratio, 0.3 * strength)),
        "val/loss": (steps, noisy(rng, -0.9 * ratio, 0.2 * strength)),
        "val/si_sdr": (steps, noisy(rng, 0.9 * ratio, 0.2 * strength)),
    }


@case()
def a_likelihood_below_zero(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(150)
    return {
        "train_nll": (steps, noisy(rng, 3.0 - 1.5 * np.log1p(steps), 0.1)),
        "val_nll": (steps, noisy(rng, 3.1 - 1.45 * np.log1p(steps), 0.1)),
    }


@case()
def weights_by_schedule(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(60)
    weight = np.clip((steps - 20) / 20, 0, 1) * 2.0
    term, other = decaying(steps, 1.0, 0.7), decaying(steps, 0.5, 0.1)
    return {
        "loss": (steps, noisy(rng, other + weight * term, 0.01)),
        "train_loss": (steps, noisy(rng, other + weight * term, 0.03)),
        "term/a": (steps, noisy(rng, other, 0.01)),
        "term/b": (steps, noisy(rng, term, 0.01)),
        "lambda_a": (steps, np.ones(60)),
        "lambda_b": (steps, weight),
        "mae": (steps, noisy(rng, decaying(steps, 0.6, 0.2), 0.005)),
    }


@case()
def a_term_without_weight(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(40)
    return {
        "loss": (steps, noisy(rng, decaying(steps, 1.0, 0.2), 0.01)),
        "term/contrast": (steps, noisy(rng, np.full(40, 4.16), 0.01)),
        "lambda_contrast": (steps, np.zeros(40)),
    }


@case(strengths=NOISES)
def a_curriculum(rng: np.random.Generator, strength: float) -> Curves:
    """Harder items from the middle on: the training loss steps up, what is measured gains."""
    steps = np.arange(120)
    loss = decaying(steps, 1.0, 0.2, 15) + np.where(steps >= 60, 1.0 + 0.3 * np.exp(-(steps - 60) / 20), 0.0)
    return {
        "train_loss": (steps, noisy(rng, loss, 0.03 * strength)),
        "val_acc": (steps[::5], noisy(rng, rising(steps[::5], 0.4, 0.8), 0.005 * strength)),
    }


@case()
def a_curriculum_without_metrics(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(120)
    loss = decaying(steps, 1.0, 0.2, 15) + np.where(steps >= 60, 0.5 + 0.8 * np.exp(-(steps - 60) / 20), 0.0)
    return {"train_loss": (steps, noisy(rng, loss, 0.03))}


@case()
def a_generator_beside_its_total(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    return {
        "loss": (steps, noisy(rng, decaying(steps, 2.0, 1.0, 5) + 0.03 * steps, 0.1)),
        "disc_loss": (steps, noisy(rng, np.full(100, 0.6), 0.05)),
    }


@case()
def saturated(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(30)
    return {
        "loss": (steps, np.abs(noisy(rng, decaying(steps, 0.7, 0.0, 8), 0.001))),
        "accuracy": (steps, np.minimum(1.0, rising(steps, 0.8, 1.02, 3))),
        "val_accuracy": (steps, np.ones(30)),
        "val_loss": (steps, np.abs(noisy(rng, decaying(steps, 0.5, 0.004, 2), 0.0005))),
        "hinge_loss": (steps, np.zeros(30)),
    }


@case(strengths=NOISES)
def a_plateau(rng: np.random.Generator, strength: float) -> Curves:
    """Converged after a few epochs: what is best there is luck, and small."""
    steps = np.arange(60)
    return {
        "loss": (steps, noisy(rng, decaying(steps, 1.5, 0.5, 4), 0.01 * strength)),
        "val_loss": (steps, noisy(rng, decaying(steps, 1.4, 0.6, 4), 0.01 * strength)),
        "val_accuracy": (steps, noisy(rng, rising(steps, 0.5, 0.8, 4), 0.006 * strength)),
    }


@case()
def measured_now_and_then(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(103)
    metric, loss = np.full(103, math.nan), noisy(rng, decaying(steps, 1.0, 0.3), 0.02)
    metric[9::10] = rising(np.arange(10), 0.5, 0.8)
    val = np.where(steps % 5 == 4, loss * 1.1, math.nan)
    return {"train_loss": (steps, loss), "val_acc": (steps, metric), "val_loss": (steps, val)}


@case()
def steps_skipped_by_a_scaler(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(80)
    skips = rng.random(80) < 0.1
    rate = 1e-3 * cosine((steps - np.cumsum(skips)) / 80)
    return {**with_rate(rng, rate), "skipped_steps": (steps, np.cumsum(skips))}


@case()
def heavy_tails(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(1000)
    return {"loss": (steps, decaying(steps, 2.0, 0.8) * np.exp(0.6 * rng.normal(size=1000)))}


@case()
def few_lonely_spikes(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(400)
    loss = noisy(rng, decaying(steps, 2.0, 0.8), 0.05)
    loss[rng.choice(400, 4, replace=False)] += 3.0
    return {"train_loss": (steps, loss)}


@case(strengths=NOISES)
def fine_tuning(rng: np.random.Generator, strength: float) -> Curves:
    """A loss per batch whose noise drowns a small gain."""
    steps = np.arange(500)
    return {
        "loss": (steps, noisy(rng, decaying(steps, 1.30, 1.15), 0.15 * strength)),
        "eval_loss": (steps[::50], noisy(rng, decaying(steps[::50], 1.28, 1.18), 0.003)),
        "learning_rate": (steps, 2e-5 * np.minimum((steps + 1) / 25, (501 - steps) / 475)),
    }


@case()
def policies(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(200)
    return {
        "train/policy_loss": (steps, noisy(rng, np.zeros(200), 0.02)),
        "train/value_loss": (steps, noisy(rng, rising(steps, 1.0, 30.0), 2.0)),
        "train/entropy_loss": (steps, noisy(rng, rising(steps, -1.4, -0.4), 0.02)),
        "train/approx_kl": (steps, noisy(rng, np.full(200, 0.005), 0.004)),
        "train/clip_fraction": (steps, noisy(rng, np.full(200, 0.1), 0.02)),
        "rollout/ep_reward": (steps, noisy(rng, rising(steps, 20.0, 180.0), 15.0)),
    }


@case()
def regularisers(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    return {
        "train/loss": (steps, noisy(rng, decaying(steps, 2.0, 0.8), 0.02)),
        "train/load_balancing_loss": (steps, noisy(rng, np.full(100, 1.0), 0.002)),
        "train/l2_reg_loss": (steps, noisy(rng, np.full(100, 0.05), 0.0001)),
        "train/kl_loss": (steps, noisy(rng, rising(steps, 0.5, 4.0), 0.05)),
        "val/kl_loss": (steps, noisy(rng, rising(steps, 0.5, 4.1), 0.05)),
    }


@case(strengths=NOISES)
def confidence_rises(rng: np.random.Generator, strength: float) -> Curves:
    """The validation loss turns up a little late in the run, the accuracy gains a little still."""
    steps = np.arange(50)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 2.3, 0.05, 10), 0.01)),
        "val_loss": (steps, noisy(rng, decaying(steps, 2.3, 0.6, 6) + 0.002 * np.maximum(steps - 20, 0), 0.01)),
        "val_acc": (steps, noisy(rng, rising(steps, 0.2, 0.8, 8), 0.004 * strength)),
    }


@case()
def dropout_makes_training_worse(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(60)
    return {
        "loss": (steps, noisy(rng, decaying(steps, 2.3, 1.0), 0.02)),
        "val_loss": (steps, noisy(rng, decaying(steps, 2.1, 0.6), 0.02)),
    }


@case()
def a_generalisation_gap(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(60)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 2.3, 0.1), 0.02)),
        "valid_loss": (steps, noisy(rng, decaying(steps, 2.3, 0.6), 0.02)),
    }


@case()
def a_resumed_run(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.concatenate([np.arange(30), np.arange(25, 60)])
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 2.0, 0.5, 12), 0.02)),
        "val_acc": (steps, noisy(rng, rising(steps, 0.3, 0.8, 12), 0.01)),
    }


@case()
def rows_within_epochs(rng: np.random.Generator, strength: float) -> Curves:
    epochs = np.repeat(np.arange(10), 30)
    rows = np.arange(300)
    rate = 1e-3 * cosine(rows / 300)
    return {"train_loss": (epochs, noisy(rng, decaying(rows, 2.0, 0.5), 0.1)), "lr": (epochs, rate)}


@case()
def precision_against_recall(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(50)
    return {
        "val/box_loss": (steps, noisy(rng, decaying(steps, 3.0, 1.0), 0.02)),
        "val/loss": (steps, noisy(rng, decaying(steps, 3.0, 1.0), 0.02)),
        "metrics/precision": (steps, noisy(rng, rising(steps, 0.2, 0.8), 0.02)),
        "metrics/recall": (steps, noisy(rng, rising(steps, 0.9, 0.6), 0.02)),
        "metrics/mAP50": (steps, noisy(rng, rising(steps, 0.1, 0.7), 0.01)),
    }


@case()
def rounded_to_hundredths(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(30)
    return {
        "loss": (steps, np.round(noisy(rng, decaying(steps, 1.0, 0.3), 0.02), 2)),
        "val_acc": (steps, np.round(noisy(rng, rising(steps, 0.5, 0.9), 0.01), 2)),
    }


@case()
def a_loss_written_now_and_then(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(103)
    loss = noisy(rng, decaying(steps, 1.0, 0.3), 0.02)
    loss[9::10] = math.nan
    return {"train_loss": (steps, loss)}


@case()
def a_line_below_zero(rng: np.random.Generator, strength: float) -> Curves:
    """A run that was ended while a negative loss still fell evenly, and nothing suffered."""
    steps = np.arange(60)
    return {
        "train/margin_loss": (steps, noisy(rng, 0.5 - 0.05 * steps, 0.05)),
        "val/acc": (steps, noisy(rng, rising(steps, 0.3, 0.8), 0.004)),
    }


@case()
def a_likelihood_and_its_calibration(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(150)
    return {
        "train_nll": (steps, noisy(rng, 3.0 - 1.5 * np.log1p(steps), 0.05)),
        "test_ece": (steps, noisy(rng, 0.02 + 0.0004 * steps, 0.001)),
    }


@case()
def a_total_whose_weight_grows(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(80)
    weight = np.clip((steps - 30) / 20, 0.0, 1.0)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 1.0, 0.3, 8) + 1.5 * weight, 0.01)),
        "lambda_b": (steps, weight),
    }


@case()
def a_harder_task_that_is_not_learned_yet(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(120)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 1.0, 0.2, 15) + np.where(steps >= 60, 1.0, 0.0), 0.03)),
        "val_acc": (steps[::5], noisy(rng, rising(steps[::5], 0.4, 0.8), 0.005)),
    }


@case()
def surer_and_a_little_better(rng: np.random.Generator, strength: float) -> Curves:
    """The validation loss rises for long, while the accuracy gains a little all the time."""
    steps = np.arange(50)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 2.3, 0.02, 10), 0.01)),
        "val_loss": (steps, noisy(rng, decaying(steps, 2.3, 0.6, 4) + 0.012 * np.maximum(steps - 15, 0), 0.01)),
        "val_acc": (steps, noisy(rng, rising(steps, 0.2, 0.75, 4) + 0.0016 * steps, 0.002)),
    }


@case()
def another_reduction(rng: np.random.Generator, strength: float) -> Curves:
    """Validation sums over what training averages."""
    steps = np.arange(60)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 2.0, 0.2), 0.02)),
        "val_loss": (steps, noisy(rng, decaying(steps, 80.0, 30.0), 0.05)),
    }


@case()
def recall_is_traded_away(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(50)
    return {
        "val/loss": (steps, noisy(rng, decaying(steps, 3.0, 1.0), 0.02)),
        "val/recall": (steps, noisy(rng, rising(steps, 0.9, 0.6), 0.01)),
    }


@case()
def a_plateau_from_the_start(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(30)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 0.30, 0.20), 0.005)),
        "val_acc": (steps, noisy(rng, np.full(30, 0.93), 0.004)),
    }


@case()
def few_rounded_rates(rng: np.random.Generator, strength: float) -> Curves:
    rates = np.array([0.5, 0.6, 0.65, 0.7, 0.7, 0.75, 0.75, 0.8, 0.8, 0.85])
    return {"loss": (np.arange(10), decaying(np.arange(10), 1.0, 0.3)), "val_acc": (np.arange(10), rates)}
