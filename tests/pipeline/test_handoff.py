"""The handoff ranks by the strong weights, says how clearly, and passes on why a candidate was refused."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from distsys.domains.protocol import MetricSpec
from distsys.errors import StoppedByHealth
from distsys.health.verdict import Verdict
from distsys.pipeline.handoff import _CandidateSource, _chosen, _rank, nearest_candidate, run_handoff
from distsys.pipeline.ranking import Candidate, Handoff
from distsys.pipeline.search import SearchResult
from distsys.training.trials import NO_VALIDATION
from tests.pipeline.support import SICK, experiment, leave_outcome, local_means, row

Ended = dict[int, tuple[list[float], bool]]
"""By number: errors of the validation items, and whether it ended sick."""


def ranked(outside: Path, root: Path, ended: Ended) -> tuple[Handoff, str]:
    """The handoff of trials 0, 1, ... that the search ranked in this order and that ended like this."""
    found = experiment(outside, root, f"handoff.top_k={len(ended)}")
    search = SearchResult([row(number, 0.1 * (number + 1)) for number in ended], found.domain.selection)
    means, said = local_means()
    source = _CandidateSource(found, _chosen(search, len(ended)), means)
    for number, (items, is_sick) in ended.items():
        leave_outcome(source.folder(number), found, items, *([SICK] if is_sick else []))
    return run_handoff(found, search, means), said.getvalue()


def test_the_best_under_the_strong_weights_goes_on_with_its_lead(outside: Path, tmp_path: Path) -> None:
    handoff, said = ranked(outside, tmp_path, {0: ([0.5, 0.6], False), 1: ([0.2, 0.3], False), 2: ([0.3, 0.4], False)})
    assert handoff.winner == 1
    assert handoff.lead == pytest.approx(0.1)
    assert handoff.noise_floor == pytest.approx(0.0, abs=1e-12)
    assert handoff.spearman == pytest.approx(-0.5)
    assert "trial 1 goes on, mae 0.2 -> 0.25 V" in said
    assert "no tie" in " ".join(said.split())


def test_in_a_tie_the_search_decides_and_the_lead_is_that_of_the_one_that_goes_on(
    outside: Path, tmp_path: Path
) -> None:
    handoff, said = ranked(outside, tmp_path, {0: ([0.1, 0.5], False), 1: ([0.4, 0.1], False), 2: ([0.9, 1.0], False)})
    assert handoff.winner == 0
    assert handoff.lead == pytest.approx(-0.05)
    assert handoff.noise_floor == pytest.approx(0.35)
    line = " ".join(said.split())
    assert "it trails the next healthy candidate by 0.05 V, noise floor 0.35 V: a tie, in which the search's" in line


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((0.1, 0.2, 0.3), ""),
        ((0.3, 0.2, 0.1), "handoff: under the final weights the candidates rank otherwise (rank correlation"),
    ],
)
def test_a_ranking_that_does_not_survive_is_said(
    outside: Path, tmp_path: Path, errors: tuple[float, ...], expected: str
) -> None:
    _, said = ranked(outside, tmp_path, {number: ([error] * 3, False) for number, error in enumerate(errors)})
    line = " ".join(said.split())
    assert ("is not expected to survive; try longer trials" in line) == bool(expected)
    assert expected in line


def test_a_control_that_comes_out_ahead_is_said() -> None:
    metric = MetricSpec("mae", "min", "V")
    pairs = [(0, "best", 0.1, 0.3), (1, "best", 0.2, 0.4), (2, "poor", 0.9, 0.1)]
    candidates = [Candidate(trial, role, {}, before, after, ()) for trial, role, before, after in pairs]
    doubt = Handoff(candidates, -0.5, 0.1, 0.01, 0).doubt(metric)
    assert doubt.startswith("the control, a poor trial, came out ahead: ")
    assert Handoff(candidates[:2], math.nan, 0.1, 0.01, 0).doubt(metric) == ""


def test_a_candidate_alone_leads_nobody(outside: Path, tmp_path: Path) -> None:
    handoff, said = ranked(outside, tmp_path, {0: ([0.5, 0.6], True), 1: ([0.2, 0.3], False)})
    assert handoff.winner == 1
    assert math.isnan(handoff.lead)
    assert "it is the only healthy candidate" in said
    assert "nan" not in said
    assert "spread outside its band: spread = 0.01, band >= 0.05" in said
    assert "fix: train longer" in said


def test_it_is_read_back_with_its_verdicts(outside: Path, tmp_path: Path) -> None:
    handoff, _ = ranked(outside, tmp_path, {0: ([0.5, 0.6], True), 1: ([0.2, 0.3], False)})
    (path,) = tmp_path.glob("*/handoff.json")
    again = Handoff.read(path)
    assert again is not None
    assert again.candidates == handoff.candidates
    assert again.candidates[0].verdicts == (SICK,)


def test_when_all_are_sick_nothing_goes_on_and_the_nearest_is_named(outside: Path, tmp_path: Path) -> None:
    handoff, said = ranked(outside, tmp_path, {0: ([0.5], True), 1: ([0.2], True)})
    assert (handoff.winner, handoff.chosen, handoff.ranked(MetricSpec("mae", "min", "V"))) == (None, None, [])
    assert "no candidate ended healthy" in said
    assert "spread outside its band (2 x): spread = 0.01, band >= 0.05" in said
    assert "fix: train longer" in said
    assert Handoff.read(next(tmp_path.glob("*/handoff.json"))) is not None
    found = dataclasses.replace(experiment(outside, tmp_path / "other", "handoff.top_k=2"), root=tmp_path)
    assert nearest_candidate(found, handoff).folder.parent == tmp_path / found.name / "handoff"


def test_when_none_was_validated_there_is_nothing_to_name(outside: Path, tmp_path: Path) -> None:
    found = experiment(outside, tmp_path)
    means, _ = local_means()
    source = _CandidateSource(found, _chosen(SearchResult([row(0, 0.1)], found.domain.selection), 1), means)
    with pytest.raises(StoppedByHealth, match="no candidate ended healthy under the final weights") as caught:
        _rank(found, source)
    assert caught.value.verdicts == (NO_VALIDATION,)


LOST = Verdict("stop", "not finite", "mae = nan", 20, "lower the rate")


def test_without_a_healthy_trial_those_that_only_their_metrics_refuse_are_tried() -> None:
    metric = MetricSpec("mae", "min", "V")
    other = dataclasses.replace(SICK, cause="level outside its band")
    rows = [row(0, 0.1, SICK, other), row(1, 0.2, SICK), row(2, 0.3, LOST), row(3, 0.4, SICK, LOST)]
    assert [item.number for item in SearchResult(rows, metric).contenders(3)] == [1, 0]
    assert [item.number for item in SearchResult([*rows, row(4, 0.5)], metric).contenders(3)] == [4]
    assert SearchResult(rows[2:], metric).contenders(3) == []


def test_one_poor_trial_goes_through_too_so_that_the_ranking_can_be_told_from_chance() -> None:
    rows = [row(number, 0.1 * (number + 1)) for number in range(6)]
    chosen = _chosen(SearchResult(rows, MetricSpec("mae", "min", "V")), 3)
    assert [(item.number, role) for item, role in chosen] == [(0, "best"), (1, "best"), (2, "best"), (5, "poor")]
