"""Healthy runs by their learning rate: every schedule that people use, beside a loss that falls."""

from __future__ import annotations

import numpy as np

from tests.health.curves.simulation import Curves, case, cosine, decaying, noisy, warmed


def with_rate(rng: np.random.Generator, rate: np.ndarray) -> Curves:
    steps = np.arange(len(rate))
    return {"train/loss": (steps, noisy(rng, decaying(steps, 2.3, 0.4), 0.03)), "lr": (steps, rate)}


@case()
def rate_cut_on_plateaus_at_once(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, 1e-2 * 0.1 ** np.searchsorted([20, 28, 36, 44], np.arange(120), side="right"))


@case()
def rate_warmed_stable_decayed(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(200)
    return with_rate(rng, 1e-3 * np.minimum(np.minimum((steps + 1) / 10, 1.0), (200 - steps) / 40))


@case()
def rate_constant(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, np.full(100, 3e-4))


@case()
def rate_warmed_and_cosine(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(200)
    return with_rate(rng, 1e-3 * np.where(steps < 20, (steps + 1) / 20, cosine((steps - 20) / 180)))


@case()
def rate_warmed_then_constant(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, 1e-3 * warmed(np.arange(200), 30))


@case()
def rate_of_milestones(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(90)
    return with_rate(rng, 0.1 * 0.1 ** (steps // 30))


@case()
def rate_on_plateaus(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(120)
    return with_rate(rng, 1e-3 * 0.5 ** np.searchsorted([18, 31, 44, 52], steps, side="right"))


@case()
def rate_with_restarts(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, 1e-3 * cosine((np.arange(160) % 40) / 40))


@case()
def rate_of_one_cycle(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    return with_rate(
        rng, 1e-2 * np.where(steps < 30, 0.04 + 0.96 * (1 - cosine(steps / 30)), cosine((steps - 30) / 70))
    )


@case()
def rate_of_triangles(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(160)
    return with_rate(rng, 1e-4 + 1e-3 * np.abs((steps % 40) / 20 - 1))


@case()
def rate_of_inverse_root(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(1, 200)
    return with_rate(rng, 1e-3 * np.minimum(steps / 20, (20 / steps) ** 0.5))


@case()
def rate_exponential(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, 1e-2 * 0.93 ** np.arange(100))


@case()
def rate_linear_to_a_tenth(rng: np.random.Generator, strength: float) -> Curves:
    steps = np.arange(100)
    return with_rate(rng, 1e-3 * np.maximum(1 - steps / 75, 0.1))


@case()
def rate_of_an_early_end(rng: np.random.Generator, strength: float) -> Curves:
    """A cosine over 200 epochs that early stopping ended after 30."""
    return with_rate(rng, 1e-3 * cosine(np.arange(30) / 200))


@case()
def rate_rounded_to_zero(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, np.zeros(50))


@case()
def rate_exponential_by_a_hundred_thousand(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, 1e-2 * 0.891 ** np.arange(100))


@case()
def rate_of_a_very_early_end(rng: np.random.Generator, strength: float) -> Curves:
    return with_rate(rng, 1e-3 * cosine(np.arange(10) / 200))
