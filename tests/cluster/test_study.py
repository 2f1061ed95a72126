"""The study on disk is the truth: nothing lost, nothing twice, and pruning that respects the noise floor."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.storages import JournalStorage

from distsys.cluster.rungs import RungPruner
from distsys.cluster.study import Study
from distsys.config.space import Dimension, SearchSpace
from distsys.domains.protocol import MetricSpec
from distsys.files import cut_torn_tail
from distsys.health.verdict import Verdict

SPEC = MetricSpec("mae", "min", "V")
SICK = Verdict("stop", "spread outside its band", "spread = 0, band >= 0.05", 20, "train longer")
SPACE = SearchSpace(
    {
        "a": Dimension(low=0.1, high=10.0, log=True, prior=1.0),
        "n": Dimension(low=1, high=9),
        "kind": Dimension(choices=["x", "y"]),
    },
    frozenset({"n"}),
)


def open_study(path: Path, *, num_trials: int = 6, pruner: RungPruner | None = None, seed: int = 0) -> Study:
    return Study(
        path / "study.log", space=SPACE, spec=SPEC, seed=seed, num_trials=num_trials, startup_trials=3, pruner=pruner
    )


def finish(study: Study, number: int, value: float) -> None:
    study.complete(number, value=value, violations={"spread": 0.0}, verdicts=[])


def test_the_first_trial_takes_the_priors_and_kinds_are_kept(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    number, params = study.ask()
    assert number == 0
    assert params["a"] == 1.0
    assert isinstance(params["n"], int)
    assert params["kind"] in {"x", "y"}


def test_a_study_opened_again_goes_on_and_asks_for_exactly_n(tmp_path: Path) -> None:
    seen = []
    for count in (2, 3, 1):
        study = open_study(tmp_path)
        for _ in range(count):
            number, params = study.ask()
            seen.append((number, params["a"]))
            finish(study, number, 1.0)
    study = open_study(tmp_path)
    assert study.remaining == 0
    assert [number for number, _ in seen] == list(range(6))
    assert len({value for _, value in seen}) == 6, "a restarted sampler repeats its draws"


def test_a_trial_that_a_crash_left_running_is_run_again_under_its_number(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    first, _ = study.ask()
    finish(study, first, 2.0)
    lost, lost_params = study.ask()
    again = open_study(tmp_path)
    assert again.remaining == 5
    number, params = again.ask()
    assert (number, params) == (lost, lost_params)
    finish(again, number, 1.0)
    rows = open_study(tmp_path).rows()
    assert [(row.number, row.value, row.state) for row in rows] == [(0, 2.0, "complete"), (1, 1.0, "complete")]


def test_a_crash_during_recovery_neither_loses_nor_doubles_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(tmp_path)
    lost, params = study.ask()
    monkeypatch.setattr(JournalStorage, "set_trial_state_values", _crash)
    with pytest.raises(KeyboardInterrupt):
        open_study(tmp_path)
    monkeypatch.undo()
    again = open_study(tmp_path)
    assert again.ask() == (lost, params)
    finish(again, lost, 1.0)
    after = open_study(tmp_path, num_trials=1)
    assert after.remaining == 0
    assert [row.number for row in after.rows()] == [0]


def _crash(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_a_torn_last_line_is_cut_and_the_study_opens_and_appends(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    number, _ = study.ask()
    finish(study, number, 1.0)
    path = tmp_path / "study.log"
    with path.open("ab") as stream:
        stream.write(b'{"op_code": 4, "worker')
    assert cut_torn_tail(path) == 22
    again = open_study(tmp_path)
    number, _ = again.ask()
    finish(again, number, 2.0)
    assert [row.value for row in open_study(tmp_path).rows()] == [1.0, 2.0]


def test_a_value_that_is_not_finite_fails_its_trial_and_leaves_none_running(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    for value in (float("nan"), float("inf")):
        number, _ = study.ask()
        study.report(number, step=10, value=value, noise_floor=0.0)
        finish(study, number, value)
    assert [row.state for row in study.rows()] == ["failed", "failed"]
    assert study.remaining == 4


def report_all(study: Study, values: list[float], *, noise_floor: float) -> list[bool]:
    numbers = [study.ask()[0] for _ in values]
    return [
        study.report(number, step=10, value=value, noise_floor=noise_floor)
        for number, value in zip(numbers, values, strict=True)
    ]


@pytest.mark.parametrize(
    ("noise_floor", "expected"),
    [(0.0, [False, False, True, True]), (0.25, [False, False, False, True]), (9.0, [False, False, False, False])],
)
def test_a_trial_clearly_behind_at_a_rung_is_pruned_and_a_tie_is_not(
    tmp_path: Path, noise_floor: float, expected: list[bool]
) -> None:
    study = open_study(tmp_path, pruner=RungPruner(first_step=10, reduction_factor=3, spec=SPEC))
    assert report_all(study, [1.0, 0.9, 1.1, 3.0], noise_floor=noise_floor) == expected


def test_pruning_looks_at_rungs_only(tmp_path: Path) -> None:
    study = open_study(tmp_path, pruner=RungPruner(first_step=10, reduction_factor=3, spec=SPEC))
    numbers = [study.ask()[0] for _ in range(4)]
    stops = {
        step: [study.report(number, step=step, value=float(number), noise_floor=0.0) for number in numbers]
        for step in (10, 20, 30)
    }
    assert stops[10][-1]
    assert not any(stops[20])
    assert stops[30][-1]


def test_constraints_reach_the_sampler_and_a_pruned_trial_is_told_as_pruned(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    number, _ = study.ask()
    study.complete(number, value=1.0, violations={"spread": 0.25}, verdicts=[SICK])
    number, _ = study.ask()
    study.report(number, step=10, value=5.0, noise_floor=0.0)
    study.prune(number, verdicts=[])
    stored = study._study.get_trials()
    assert stored[0].constraints == {"spread": 0.25}
    assert [row.state for row in study.rows()] == ["complete", "pruned"]
    assert study.rows()[1].value == 5.0
    assert study.rows()[0].verdicts == (SICK,)


def test_numbers_have_no_gaps_after_a_crash(tmp_path: Path) -> None:
    study = open_study(tmp_path, num_trials=4)
    for _ in range(2):
        study.ask()
    again = open_study(tmp_path, num_trials=4)
    numbers = []
    while again.remaining > 0:
        number, _ = again.ask()
        numbers.append(number)
        finish(again, number, 1.0)
    assert numbers == [0, 1, 2, 3]
    assert [row.number for row in again.rows()] == [0, 1, 2, 3]
