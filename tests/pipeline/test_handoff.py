"""The handoff ranks by the strong weights, says how clearly, and passes on why a candidate was refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from distsys.domains.protocol import MetricSpec
from distsys.errors import StoppedByHealth
from distsys.pipeline.handoff import _CandidateSource, _chosen, run_handoff
from distsys.pipeline.ranking import Handoff
from distsys.pipeline.search import SearchResult
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


def test_when_all_are_sick_the_cause_and_the_fix_are_named(outside: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedByHealth) as caught:
        ranked(outside, tmp_path, {0: ([0.5], True), 1: ([0.2], True)})
    assert "spread outside its band (2 x): spread = 0.01, band >= 0.05" in str(caught.value)
    assert "fix: train longer" in str(caught.value)
    assert caught.value.verdicts == (SICK,)


def test_one_poor_trial_goes_through_too_so_that_the_ranking_can_be_told_from_chance() -> None:
    rows = [row(number, 0.1 * (number + 1)) for number in range(6)]
    chosen = _chosen(SearchResult(rows, MetricSpec("mae", "min", "V")), 3)
    assert [(item.number, role) for item, role in chosen] == [(0, "best"), (1, "best"), (2, "best"), (5, "poor")]
