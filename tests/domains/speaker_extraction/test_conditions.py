"""Intervals by speaker, gains by condition, and what a threshold on the level tells of who is there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from distsys.domains.speaker_extraction import SpeakerExtraction
from distsys.domains.speaker_extraction.data.bundle import build_data
from distsys.domains.speaker_extraction.score.conditions import Conditions, alikeness, by_speaker
from distsys.domains.speaker_extraction.score.evaluation import evaluate
from distsys.domains.speaker_extraction.score.presence import Roc
from tests.domains.speaker_extraction.support import Known, small_config


def test_the_interval_knows_that_queries_of_one_speaker_are_alike() -> None:
    random = np.random.default_rng(0)
    of_speaker = random.normal(5.0, 2.0, 16)
    values = np.repeat(of_speaker, 50) + random.normal(0.0, 0.5, 800)
    low, high = by_speaker(values, [f"s{number // 50}" for number in range(800)])
    assert low < values.mean() < high
    assert high - low == pytest.approx(2.0 * 1.96 * of_speaker.std() / 4.0, rel=0.2)
    narrow = by_speaker(values, [f"s{number}" for number in range(800)])
    assert narrow[1] - narrow[0] < 0.4 * (high - low)
    assert by_speaker(values, [f"s{number // 50}" for number in range(800)]) == (low, high)
    assert by_speaker(np.array([3.0, 3.0]), ["a", "a"]) == (3.0, 3.0)


def test_gains_stand_under_the_level_of_whom_is_asked_for() -> None:
    lines = [json.dumps({"wanted": ["a", "b"], "sir_db": 2.0})] * 10
    batch = {"sources": torch.randn(10, 2, 2000, generator=torch.Generator().manual_seed(0))}
    conditions = Conditions.of([batch], lines)
    gained = np.where(conditions.sir_db > 0.0, 4.0, 9.0)
    found = conditions.summary(gained, np.ones(20, dtype=bool))
    assert found["si_sdri_db/strong target"] == 4.0
    assert found["si_sdri_db/weak target"] == 9.0
    assert "si_sdri_db/even target" not in found
    assert found["si_sdri_low_db"] == 4.0
    assert found["si_sdri_high_db"] == 9.0
    only = conditions.summary(gained, conditions.sir_db < 0.0)
    assert only["si_sdri_high_db"] == 9.0
    assert "si_sdri_db/strong target" not in only


def test_voices_of_one_colour_are_alike() -> None:
    white = torch.randn(2, 3, 40000, generator=torch.Generator().manual_seed(1))
    low = torch.cumsum(white, dim=-1)
    same = alikeness(torch.stack((low[:, 0], low[:, 1]), dim=1))
    other = alikeness(torch.stack((low[:, 0], white[:, 1].diff(prepend=white[:, 1, :1])), dim=1))
    assert float(same.min()) > 0.9 > float(other.max()) + 0.9


def test_a_roc_by_hand() -> None:
    drop = torch.tensor([1.0, 2.0, 3.0, 9.0, 4.0, 8.0, 10.0, 12.0])
    present = torch.tensor([True, True, True, True, False, False, False, False])
    found = Roc.of(drop, present).summary()
    # Of 16 pairs, the present one at 9 dB is behind the absent ones at 4 and 8.
    assert found["presence_auc"] == pytest.approx(14.0 / 16.0)
    assert found["presence_equal_error"] == pytest.approx(0.25)
    assert found["presence_threshold_db"] == 4.0
    assert found["presence_miss_at_5pct"] == pytest.approx(0.25)


def test_ties_are_chance_and_a_gap_is_certain() -> None:
    present = torch.tensor([True, True, False, False])
    assert Roc.of(torch.full((4,), 30.0), present).summary()["presence_auc"] == 0.5
    sure = Roc.of(torch.tensor([0.0, 1.0, 20.0, 30.0]), present).summary()
    assert (sure["presence_auc"], sure["presence_equal_error"], sure["presence_threshold_db"]) == (1.0, 0.0, 1.0)


def test_an_evaluation_has_them_all() -> None:
    config = small_config()
    data = build_data(config, seed=0).test

    class Model(Known):
        sample_rate_hz = 8000

        def forward(self, mixture: Tensor, enrolment: Tensor) -> Tensor:
            return super().forward(mixture, enrolment)

    model = Model(data, clean=1.0, leak=0.1, absent=0.01)
    found = evaluate(model, data)  # type: ignore[arg-type]  # stands in for an extractor
    assert found.metrics["si_sdri_low_db"] < found.metrics["si_sdri_db"] < found.metrics["si_sdri_high_db"]
    assert found.metrics["presence_auc"] == 1.0
    assert {"si_sdri_db/alike voices", "si_sdri_db/unlike voices"} <= set(found.metrics)
    figures = SpeakerExtraction().figures(model, data, found)  # type: ignore[arg-type]
    assert "Is the speaker there" in figures
