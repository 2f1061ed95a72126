"""Data contract: every defect at several strengths, and its healthy twin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distsys.domains.protocol import FieldSpec
from distsys.health.probes.contract import data_in_range, data_scale
from distsys.health.probes.noise import noise_level, target_against_noise
from distsys.health.probes.statistics import column_ranges, stored_statistics
from tests.health.probes.support import Change, Changed, data, found, model_of, noise_of, patient, terms

X, Y = FieldSpec("x", "input", "1", -1.0, 1.0), FieldSpec("y", "target", "V", -1.0, 1.0)
BANDED = (FieldSpec("x", "input", "1", -1.0, 1.0, spread=(0.2, 1.0)), Y)
NOISY = (FieldSpec("x", "noisy input", "V"), Y)


def scaled(factor: float) -> Change:
    return lambda batch, indices: {**batch, "x": batch["x"] * factor}


@pytest.mark.parametrize("factor", [1.01, 3.0, 1000.0])
def test_values_outside_their_range_stop(outside: Path, factor: float) -> None:
    (verdict, *_) = found(data_in_range, outside, build_data=data(scaled(factor)))
    assert (verdict.status, verdict.cause) == ("stop", "data outside their declared range")
    assert f"{factor:.2g}"[:1] in verdict.evidence
    assert "declared -1 to 1" in verdict.evidence


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_values_that_are_not_finite_are_named(outside: Path, value: float) -> None:
    def spoilt(batch: dict[str, Tensor], indices: Sequence[int]) -> dict[str, Tensor]:
        x = batch["x"].clone()
        x[0] = value
        return {**batch, "x": x}

    verdicts = found(data_in_range, outside, build_data=data(spoilt, frozen=False))
    assert {verdict.cause for verdict in verdicts} == {"not finite"}
    assert [verdict.status for verdict in verdicts] == ["warn" if math.isinf(value) else "stop"]


def test_gaps_that_no_term_sees_are_healthy(outside: Path) -> None:
    fields = (X, Y, FieldSpec("age", "bookkeeping", "s"))
    partly = data(lambda batch, indices: {**batch, "age": torch.tensor([[math.nan], [1.0]] * 99)[: len(batch["x"])]})
    assert found(data_in_range, outside, build_data=partly, fields=fields) == []


@pytest.mark.parametrize(
    ("factor", "status"), [(1 / 80, "stop"), (1 / 1000, "stop"), (1 / 8, "stop"), (1 / 4, "warn"), (1.0, "")]
)
def test_what_is_scaled_twice_leaves_its_band(outside: Path, factor: float, status: str) -> None:
    verdicts = found(data_scale, outside, build_data=data(scaled(factor)), fields=BANDED)
    assert [(item.status, item.cause) for item in verdicts] == ([(status, "scaled twice")] if status else [])


def test_a_range_that_is_hardly_used_is_a_warning_where_no_band_is_declared(outside: Path) -> None:
    (verdict,) = found(data_scale, outside, build_data=data(scaled(1e-3)))
    assert (verdict.status, verdict.cause) == ("warn", "scaled twice")
    assert found(data_scale, outside, build_data=data(scaled(0.02))) == []


@pytest.mark.parametrize("factor", [1 / 80, 1 / 12])
def test_training_and_frozen_items_of_two_scales_stop(outside: Path, factor: float) -> None:
    (verdict,) = found(data_scale, outside, build_data=data(scaled(factor), frozen=False))
    assert (verdict.status, verdict.cause) == ("stop", "scaled twice")


@pytest.mark.parametrize("share", [2, 3])
def test_one_source_of_several_that_is_scaled_twice_stops(outside: Path, share: int) -> None:
    fields = (FieldSpec("x", "input", "1", -40.0, 40.0, spread=(0.2, 3.0)), Y)

    def mixed(batch: dict[str, Tensor], indices: Sequence[int]) -> dict[str, Tensor]:
        size = torch.tensor([[1e-3 if index % share == 0 else 1.0] for index in indices])
        return {**batch, "x": noise_of(indices, 50) * size}

    (verdict,) = found(data_scale, outside, build_data=data(mixed), fields=fields)
    assert (verdict.status, verdict.cause) == ("stop", "scaled twice")
    assert "items of 'x'" in verdict.evidence


@pytest.mark.parametrize(("factor", "healthy"), [(1e4, False), (1e-5, False), (5.0, True)])
def test_conditioning_by_another_signals_scale(outside: Path, factor: float, healthy: bool) -> None:
    fields = (X, Y, FieldSpec("peak", "conditioning", "V"))
    made = data(lambda batch, indices: {**batch, "peak": factor * batch["y"]})
    verdicts = found(data_scale, outside, build_data=made, fields=fields)
    assert [item.cause for item in verdicts] == ([] if healthy else ["conditioning scaled by another signal"])


@pytest.mark.parametrize(
    ("stored", "status"), [(0.58, ""), (0.4, ""), (5.8, "warn"), (46.0, "stop"), (6e-4, "stop"), (math.nan, "stop")]
)
def test_statistics_of_other_data(outside: Path, stored: float, status: str) -> None:
    made = data(scaled(1.0), statistics={"x_std": torch.tensor(stored)})
    verdicts = found(stored_statistics, outside, build_data=made)
    assert [item.status for item in verdicts] == ([status] if status else [])
    assert all(item.cause == "statistics of other data" for item in verdicts)


def test_a_loader_that_has_divided_by_its_statistics_is_healthy(outside: Path) -> None:
    made = data(lambda batch, indices: {**batch, "x": batch["x"] / 0.577}, statistics={"std_x": torch.tensor(700.0)})
    assert found(stored_statistics, outside, build_data=made) == []


@pytest.mark.parametrize(("size", "healthy"), [(5000.0, False), (300.0, False), (20.0, True)])
def test_one_scale_over_columns_of_different_units(outside: Path, size: float, healthy: bool) -> None:
    fields = (X, FieldSpec("y", "target", "dB, Hz, 1"))
    made = data(lambda batch, indices: {**batch, "y": batch["y"] * torch.tensor([[1.0, size, 0.5, 0.0]])})
    verdicts = found(column_ranges, outside, build_data=made, fields=fields)
    assert [(item.status, item.cause) for item in verdicts] == (
        [] if healthy else [("warn", "one scale for different units")]
    )


@pytest.mark.parametrize(("level", "status"), [(0.3, ""), (3.0, ""), (30.0, "warn"), (1e4, "stop"), (1e-6, "stop")])
def test_noise_against_the_signal(outside: Path, level: float, status: str) -> None:
    made = data(lambda batch, indices: {**batch, "x": batch["y"] + level * noise_of(indices, 1)})
    fields = (FieldSpec("x", "noisy input", "V"), Y)
    verdicts = found(noise_level, outside, build_data=made, fields=fields)
    assert [(item.status, item.cause) for item in verdicts] == (
        [(status, "noise far from the signal's level")] if status else []
    )


def noisy(batch: dict[str, Tensor], indices: Sequence[int]) -> dict[str, Tensor]:
    return {**batch, "x": batch["y"] + 0.1 * noise_of(indices, 1)}


@pytest.mark.parametrize("share", [1.0, 0.1, 1e-3])
def test_a_target_that_terms_make_of_the_noisy_input_stops(outside: Path, share: float) -> None:
    circular = terms(mse=lambda out, batch: (out - (1 - share) * batch["y"] - share * batch["x"]).square().mean())
    (verdict,) = found(target_against_noise, outside, build_data=data(noisy), fields=NOISY, loss_terms=circular)
    assert (verdict.status, verdict.cause) == ("stop", "the target depends on the noise")
    assert "'mse' goes from" in verdict.evidence


def test_a_target_of_clean_data_is_healthy(outside: Path) -> None:
    assert found(target_against_noise, outside, build_data=data(noisy), fields=NOISY) == []


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.5])
def test_a_target_that_the_loader_made_of_noise_is_seen_where_items_are_offered_anew(
    outside: Path, share: float
) -> None:
    def source(seed: int) -> Change:
        def change(batch: dict[str, Tensor], indices: Sequence[int]) -> dict[str, Tensor]:
            noise = 0.1 * noise_of(indices, 1, seed=seed)
            return {**batch, "x": batch["y"] + noise, "y": batch["y"] + share * noise}

        return change

    def renoised(train: Changed) -> Changed:
        return type(train)(train.source, source(1))

    verdicts = found(target_against_noise, outside, build_data=data(source(0)), fields=NOISY, renoised=renoised)
    assert [item.status for item in verdicts] == (["stop"] if share else [])


@pytest.mark.parametrize(("size", "is_found"), [(1e3, True), (30.0, True), (3.0, False), (0.0, False)])
def test_noise_is_measured_between_two_draws_of_an_item(outside: Path, size: float, is_found: bool) -> None:
    signal = noise_of(range(32), 200)
    who = replace(
        patient(outside, fields=(FieldSpec("x", "noisy input", "1"), Y)),
        batch=lambda indices, progress: {"x": signal + size * noise_of(indices, 200, seed=1)},
        renoised=lambda indices, progress: {"x": signal + size * noise_of(indices, 200, seed=2)},
    )
    verdicts = noise_level(who)
    assert [(item.status, item.cause) for item in verdicts] == (
        [("warn", "noise far from the signal's level")] if is_found else []
    )


def test_probes_of_data_find_nothing_on_the_sine(outside: Path) -> None:
    for probe in (data_in_range, data_scale, stored_statistics, column_ranges, noise_level, target_against_noise):
        assert found(probe, outside) == []
        assert found(probe, outside, build_model=model_of(lambda width: torch.nn.Linear(1, 1))) == []
