"""Curves whose steps, counters and names mean something else than they seem to."""

from __future__ import annotations

import numpy as np
import pytest

from distsys.health import causes
from distsys.health.curves.names import guess
from distsys.health.curves.registry import examine_curves
from tests.health.curves.simulation import cosine, decaying, history

EPOCHS = np.arange(1, 41)
LOSS = decaying(EPOCHS, 2.0, 0.3)


def named(**curves: np.ndarray) -> set[str]:
    """Causes that are found in curves over epochs."""
    beside = {"train_loss": (EPOCHS, LOSS), **{name: (EPOCHS, values) for name, values in curves.items()}}
    return {item.cause for item in examine_curves(history(beside))}


def test_skipped_batches_counted_by_epoch_are_no_epochs_without_a_step() -> None:
    rate = 1e-3 * cosine(EPOCHS / 40)
    assert named(lr=rate, skipped_steps=3.0 * EPOCHS) == set()
    assert named(lr=rate, optimizer_steps=np.full(len(EPOCHS), 390.0)) == set()
    assert causes.SCHEDULE_ORDER.name in named(lr=rate, skipped_steps=1.0 * EPOCHS)


def test_a_loss_of_values_may_grow_with_the_reward() -> None:
    grown = {"loss": (EPOCHS, 0.1 * EPOCHS), "reward": (EPOCHS, 5.0 * EPOCHS)}
    assert examine_curves(history(grown)) == []
    assert causes.DIVERGED.name in {item.cause for item in examine_curves(history({"loss": (EPOCHS, 0.1 * EPOCHS)}))}


def test_a_loss_written_in_two_decimals_is_learned_where_a_metric_gains() -> None:
    flat = np.full(len(EPOCHS), 0.01)
    gaining = {"train_loss": (EPOCHS, flat), "val_acc": (EPOCHS, 0.9 - 0.5 * decaying(EPOCHS, 1.0, 0.1))}
    assert causes.NOTHING_LEARNED.name not in {item.cause for item in examine_curves(history(gaining))}
    assert causes.NOTHING_LEARNED.name in {item.cause for item in examine_curves(history({"loss": (EPOCHS, flat)}))}


@pytest.mark.parametrize("name", ["weight_norm", "grad/weight_norm", "weight_decay"])
def test_the_norm_of_weights_is_no_weight_of_a_loss(name: str) -> None:
    assert guess(name).kind == "other"
    assert guess("aux_weight").kind == "weight"


@pytest.mark.parametrize("name", ["acc_gap", "wer_reduction", "val_mse_improvement_db", "rel_mse_change"])
def test_what_is_made_of_a_metric_has_no_direction(name: str) -> None:
    assert guess(name).direction is None


def test_a_last_point_that_a_resume_writes_again_is_no_evaluation_that_varies() -> None:
    steps = np.sort(np.append(EPOCHS, 12))
    accuracy = 0.9 - 0.5 * decaying(steps, 1.0, 0.1)
    accuracy[12] += 1e-3
    found = examine_curves(history({"train_loss": (EPOCHS, LOSS), "val_acc": (steps, accuracy)}))
    assert causes.UNSTABLE_EVALUATION.name not in {item.cause for item in found}
