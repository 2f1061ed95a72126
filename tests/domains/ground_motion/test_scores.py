"""Scores of the truth and of what needs no network."""

from __future__ import annotations

import pytest
import torch

from distsys.domains.ground_motion.data.operators import highpart, lowpass
from distsys.domains.ground_motion.score.baselines import baselines
from distsys.domains.ground_motion.score.metrics import Scores
from tests.domains.ground_motion.support import small_bundle, small_config, some_motions


def test_the_truth_is_perfect() -> None:
    motion = some_motions()
    found = Scores.of(motion[:, None], motion).summary()
    for name, value in found.items():
        wanted = 1.0 if "correlation" in name else 0.0
        assert value == pytest.approx(wanted, abs=1e-5), name


@pytest.mark.parametrize("gain", [1e-3, 1e3])
def test_scores_do_not_depend_on_the_unit(gain: float) -> None:
    motion = some_motions()
    samples = lowpass(motion)[:, None] + highpart(torch.roll(motion, 100, dims=-1))[:, None] * torch.tensor(
        [0.5, 1.0, 2.0]
    ).view(1, 3, 1)
    one, other = (Scores.of(scale * samples, scale * motion).summary() for scale in (1.0, gain))
    assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_the_gate_is_no_score() -> None:
    """White noise above what is given passes it: quality is judged above 1 Hz."""
    motion = some_motions()
    noise = highpart(torch.randn(motion.shape, generator=torch.Generator().manual_seed(0)))
    noisy = lowpass(motion) + noise / noise.norm() * motion.norm()
    found = Scores.of(noisy[:, None], motion).summary()
    assert found["envelope_correlation"] == pytest.approx(1.0, abs=1e-5)
    assert found["hf_envelope_correlation"] < 0.3


def test_rows_stand_in_a_sensible_order() -> None:
    bundle = small_bundle()
    found = baselines(small_config(), bundle, bundle.test)
    rows = {name: row.metrics for name, row in found.items()}
    assert rows["truth"]["crps"] == pytest.approx(0.0, abs=1e-5)
    assert rows["hybrid, oracle level"]["crps_ln_im"] < rows["fair hybrid"]["crps_ln_im"]
    assert rows["fair hybrid"]["hf_envelope_correlation"] > rows["white noise + c"]["hf_envelope_correlation"]
    assert rows["sibling"]["hf_envelope_correlation"] > 0.5
    assert [name for name, row in found.items() if row.kind == "bound"] == ["truth", "hybrid, oracle level", "sibling"]
    assert [name for name, row in found.items() if row.kind == "peer"] == ["fair hybrid"]


def test_tables_begin_with_the_course_of_the_mean_and_of_one_sample() -> None:
    """Beside each other: a hybrid's single sample is nearer to the truth than an honest draw, and its CRPS is worse."""
    bundle = small_bundle()
    row = baselines(small_config(), bundle, bundle.test)["fair hybrid"].metrics
    assert list(row)[:2] == ["hf_envelope_correlation", "hf_envelope_correlation_single"]
    assert row["hf_envelope_correlation_single"] < row["hf_envelope_correlation"]
