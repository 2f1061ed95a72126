"""Histories with a defect each, made by small simulations; ``strength`` 0 to 1 from faint to plain."""

from __future__ import annotations

import math

import numpy as np

from distsys.health import causes
from tests.health.curves.simulation import Curves, case, cosine, decaying, noisy, rising, warmed

STRENGTHS = (0.3, 0.6, 1.0)


@case(causes.UNBOUNDED_TERM, strengths=STRENGTHS)
def a_squared_error_below_zero(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(60)
    loss = noisy(rng, decaying(steps, 1.0, 0.1), 0.02)
    return {"train/loss": (steps, loss), "val/recon_mse": (steps, loss - (0.15 + 0.4 * strength) * steps / 60 - 0.1)}


@case(causes.UNBOUNDED_TERM, strengths=STRENGTHS)
def suppression_pays(rng: np.random.Generator, strength: float) -> Curves:
    """An energy in dB falls by the step while what the model is for gets worse."""
    steps = np.arange(0, 220_000, 5000)
    done = steps / steps[-1]
    return {
        "val/ta_energy_loss": (steps, noisy(rng, 5.0 - 60.0 * (0.4 + strength) * done, 1.0)),
        "val/sisdr": (steps, noisy(rng, 6.0 * (1 - np.exp(-8 * done)) - 8.0 * strength * done**2, 0.15)),
    }


@case(causes.UNBOUNDED_TERM, strengths=STRENGTHS)
def a_term_that_plunges(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    term = 1.0 - np.exp((2.0 + 3.0 * strength) * steps / 100)
    return {"train_loss": (steps, noisy(rng, 1.0 + term, 0.05)), "scale_loss": (steps, noisy(rng, term, 0.05))}


@case(causes.LOSS_AGAINST_METRIC, strengths=STRENGTHS)
def the_loss_chooses_another_epoch(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(40)
    metric = rising(steps, 2.0, 9.0) - np.where(steps > 12, (steps - 12) * (0.1 + 0.2 * strength), 0.0)
    loss = decaying(steps, 3.0, 1.0, 30)
    return {"val_loss": (steps, noisy(rng, loss, 0.02)), "val_si_sdr": (steps, noisy(rng, metric, 0.2))}


@case(causes.LOSS_AGAINST_METRIC, strengths=STRENGTHS)
def the_least_loss_is_early(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(30)
    loss = decaying(steps, 1.0, 0.5, 3) + 0.02 * strength * np.maximum(steps - 6, 0)
    return {
        "eval_loss": (steps, noisy(rng, loss, 0.01)),
        "eval_accuracy": (steps, noisy(rng, rising(steps, 0.5, 0.5 + 0.3 * (0.5 + strength), 12), 0.004)),
    }


@case(causes.NOISY_EVALUATION, strengths=STRENGTHS)
def validation_is_noise(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(24)
    return {
        "train_loss": (steps, noisy(rng, decaying(steps, 1.0, 0.3), 0.01)),
        "val_f1": (steps, noisy(rng, rising(steps, 0.5, 0.53), 0.05 + 0.1 * strength)),
    }


@case(causes.NOISY_EVALUATION)
def twenty_items(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(40)
    right = rng.binomial(23, rising(steps, 0.5, 0.85))
    return {"loss": (steps, decaying(steps, 1.0, 0.2)), "val_accuracy": (steps, right / 23)}


@case(causes.NOISY_EVALUATION)
def forty_items_and_a_clear_gain(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(30)
    right = np.round(41 * noisy(rng, rising(steps, 0.2, 0.9), 0.02))
    return {"loss": (steps, decaying(steps, 1.0, 0.2)), "val_accuracy": (steps, right / 41)}


@case(causes.UNSTABLE_EVALUATION, strengths=STRENGTHS)
def evaluated_twice(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.repeat(np.arange(20), np.where(np.arange(20) % 5 == 4, 2, 1))
    return {"val_wer": (steps, noisy(rng, decaying(steps, 0.9, 0.2), 0.01 * strength))}


def _beside(rng: np.random.Generator, steps: np.ndarray, rate: np.ndarray) -> Curves:
    return {"train/loss": (steps, noisy(rng, decaying(steps, 2.3, 0.4), 0.03)), "lr": (steps, rate)}


@case(causes.SCHEDULE_PACE, strengths=STRENGTHS)
def the_cosine_ends_too_soon(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(0, 1000, 10)
    return _beside(rng, steps, 1e-3 * cosine(np.minimum(steps / (800 - 600 * strength), 1.0)))


@case(causes.SCHEDULE_PACE, strengths=STRENGTHS)
def stepped_per_item(rng: np.random.Generator, strength: float) -> Curves:
    """A rate that loses a tenth an epoch was multiplied at each batch."""
    steps = np.arange(100)
    return _beside(rng, steps, 1e-3 * 0.9 ** (steps * (2 + 20 * strength)))


@case(causes.SCHEDULE_PACE, strengths=STRENGTHS)
def a_cosine_that_swings(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    return _beside(rng, steps, 1e-3 * cosine(steps * (0.43 + 0.3 * strength)))


@case(causes.SCHEDULE_PACE, strengths=STRENGTHS)
def past_the_end_of_a_cosine(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(60)
    return _beside(rng, steps, 3e-4 * cosine(steps / (40 - 15 * strength)))


@case(causes.SCHEDULE_PACE)
def the_first_step_before_the_warmup(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    rate = warmed(steps, 10) * cosine(steps / 100)
    rate[0] = 1.0
    return _beside(rng, steps, 1e-3 * rate)


@case(causes.SCHEDULE_PACE)
def stepped_per_epoch(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(50)
    return _beside(rng, steps, 1e-3 * cosine(steps / 5000))


@case(causes.SCHEDULE_ORDER, strengths=STRENGTHS)
def the_rate_moves_without_a_step(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(60)
    skipped = np.cumsum(rng.random(60) < 0.1 + 0.3 * strength).astype(float)
    return {**_beside(rng, steps, 1e-3 * cosine(steps / 60)), "skipped_steps": (steps, skipped)}


@case(causes.RATE_ZERO)
def no_rate(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(40)
    return {"train/loss": (steps, noisy(rng, np.full(40, 2.3), 0.01)), "learning_rate": (steps, np.zeros(40))}


@case(causes.RATE_ZERO, strengths=STRENGTHS)
def the_rate_is_cut_off(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(60)
    end = round(50 - 30 * strength)
    loss = noisy(rng, decaying(np.minimum(steps, end), 2.3, 0.4, 30), 0.02)
    return {"train/loss": (steps, loss), "lr": (steps, np.where(steps < end, 1e-3, 0.0))}


@case(causes.AT_CHANCE, strengths=STRENGTHS)
def contrastive_at_chance(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(150)
    return {
        "loss": (steps, noisy(rng, 0.2 * math.log(64) + decaying(steps, 1.0, 0.1), 0.02)),
        "recon_loss": (steps, noisy(rng, decaying(steps, 1.0, 0.1), 0.02)),
        "contrastive_loss": (steps, noisy(rng, np.full(150, math.log(64)), 0.05 - 0.04 * strength)),
    }


@case(causes.AT_CHANCE, strengths=STRENGTHS)
def an_aligning_term_is_flat(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(0, 3000, 100)
    return {
        "train/loss": (steps, noisy(rng, decaying(steps, 1.6, 0.8), 0.01)),
        "train/align_loss": (steps, noisy(rng, np.full(30, 0.69), 0.005 * (1.1 - strength))),
    }


@case(causes.NOT_FINITE, strengths=STRENGTHS)
def a_loss_ends_in_nan(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(50)
    loss = noisy(rng, decaying(steps, 1.0, 0.3), 0.02)
    loss[round(48 - 40 * strength) :] = math.nan
    return {"train_loss": (steps, loss)}


@case(causes.NOT_FINITE)
def a_loss_with_a_hole(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(50)
    loss = noisy(rng, decaying(steps, 1.0, 0.3), 0.02)
    loss[[17, 31]] = math.inf
    return {"train_loss": (steps, loss)}


@case(causes.DIVERGED, strengths=STRENGTHS)
def a_loss_that_diverges(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(80)
    loss = decaying(steps, 2.3, 1.0, 8) + 2.6 * strength * np.exp(np.maximum(steps - 50, 0) / 20) - 2.6 * strength
    return {"loss": (steps, noisy(rng, np.where(steps > 50, loss + 1.0, decaying(steps, 2.3, 1.0, 8)), 0.05))}


@case(causes.DIVERGED, strengths=STRENGTHS)
def a_model_that_collapses(rng: np.random.Generator, strength: float) -> Curves:
    """From some step on the loss is that of a model that knows nothing."""
    steps = np.arange(100)
    end = round(90 - 50 * strength)
    loss = np.where(steps < end, decaying(steps, 2.303, 0.6), 2.303)
    return {
        "train/loss": (steps, noisy(rng, loss, 0.03)),
        "val/acc": (steps[::4], noisy(rng, np.where(steps < end, rising(steps, 0.1, 0.8), 0.1)[::4], 0.005)),
    }


@case(causes.JUMPS, strengths=STRENGTHS)
def a_loss_that_jumps(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(200)
    loss = noisy(rng, decaying(steps, 2.3, 1.0), 0.05)
    loss[120:] += (2.0 + 8.0 * strength) * np.exp(-(steps[120:] - 120) / 6)
    return {"loss": (steps, loss)}


@case(causes.NOTHING_LEARNED)
def a_loss_that_is_equal(rng: np.random.Generator, strength: float) -> Curves:
    return {"loss": (np.arange(20), np.full(20, 0.693147))}


@case(causes.NOTHING_LEARNED, strengths=STRENGTHS)
def a_loss_that_stays(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(300)
    return {
        "train/loss": (steps, noisy(rng, np.full(300, 2.303), 0.05 * (1.1 - strength))),
        "val/acc": (steps[::30], noisy(rng, np.full(10, 0.1), 0.005)),
    }


@case(causes.CONSTANT_OUTPUT)
def an_accuracy_that_is_equal(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(20)
    return {"loss": (steps, noisy(rng, decaying(steps, 2.3, 0.5), 0.02)), "val_accuracy": (steps, np.full(20, 0.1))}


@case(causes.OVERFIT, strengths=STRENGTHS)
def overfitted(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(50)
    return {
        "loss": (steps, noisy(rng, decaying(steps, 2.0, 0.02, 12), 0.02)),
        "val_loss": (
            steps,
            noisy(rng, decaying(steps, 2.0, 1.0, 6) + 0.04 * strength * np.maximum(steps - 12, 0), 0.03),
        ),
    }


@case(causes.OVERFIT, strengths=STRENGTHS)
def nothing_carries_over(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(40)
    return {
        "train/loss": (steps, noisy(rng, decaying(steps, 2.3, 0.05), 0.02)),
        "valid/loss": (steps, noisy(rng, decaying(steps, 2.3, 1.5 + 0.7 * strength), 0.02)),
    }


@case(causes.ONE_TERM, strengths=STRENGTHS)
def one_share(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(12)
    small = np.full(12, 10 ** -(3.1 + strength)) * rng.uniform(0.8, 1.2, 12)
    return {
        "loss": (steps, noisy(rng, decaying(steps, 2.0, 0.5), 0.02)),
        "gradient_share/params": (steps, 1 - small),
        "gradient_share/curve": (steps, small),
    }
