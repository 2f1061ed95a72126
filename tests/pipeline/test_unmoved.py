"""A metric that no trial moves is told as such, and no wider search is advised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from distsys.cluster.rows import TrialOnDisk, row_of
from distsys.domains.protocol import MetricSpec
from distsys.health.verdict import Verdict
from distsys.pipeline.search import SearchResult, none_healthy
from distsys.pipeline.unmoved import unmoved_text
from tests.pipeline.support import SICK, row


def result(violations: Sequence[float], **other: Sequence[float]) -> SearchResult:
    """A search whose trials all ended this far outside."""
    columns = {"spread": violations, **other}
    rows = [
        replace(row(number, 1.0, SICK), violations={name: values[number] for name, values in columns.items()})
        for number in range(len(violations))
    ]
    return SearchResult(rows, MetricSpec("error", "min", "1"))


def test_what_every_trial_misses_by_the_same_is_named_and_no_wider_search_advised() -> None:
    """Once all 12 trials ended with one and the same coverage, and the advice was to widen the search."""
    found = none_healthy(result([0.012] * 12, bias=[0.0] * 12))
    assert "nothing that is searched moves spread (0.012 to 0.012 outside its band in all 12 trials)" in str(found)
    assert "constraints.spread" in str(found)
    assert "widen the search space" not in str(found) and "bias" not in str(found)


@pytest.mark.parametrize("violations", [[0.1, 0.07, 0.12], [0.1, 0.1, 0.0], [0.1, 0.1]])
def test_what_trials_move_or_too_few_tell_is_left_to_the_verdicts(violations: list[float]) -> None:
    found = result(violations)
    assert unmoved_text(found.rows) == ""
    assert "widen the search space" in str(none_healthy(found))


def test_a_study_remembers_how_far_outside_a_trial_ended() -> None:
    told = TrialOnDisk(
        3, {}, "complete", value=1.0, violations={"spread": 0.02}, verdicts=(Verdict("stop", "a", "", 1),)
    )
    assert row_of(3, told.frozen({})).violations == {"spread": 0.02}
