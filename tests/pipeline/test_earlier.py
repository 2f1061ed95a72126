"""A search that begins with what an earlier one of the same space found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from distsys.pipeline.earlier import read_earlier
from distsys.pipeline.experiment import Experiment, load_experiment
from distsys.pipeline.run import search
from distsys.pipeline.search import open_study
from distsys.tracking.spool import read_record
from tests.pipeline.support import local_means

Call = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.filterwarnings("ignore:Argument ``multivariate``")
_FEW = ("search.trials=3", "search.reduction_factor=null")


def loaded(outside: Path, root: Path, *more: str) -> Experiment:
    space = outside / "space.yaml"
    return load_experiment(str(outside / "sine.yaml"), root=root, overrides=(*_FEW, *more), space=space)


@pytest.fixture(scope="module")
def searched(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = loaded(outside, tmp_path_factory.mktemp("earlier"))
    search(experiment, local_means()[0])
    return experiment.folder


def begun(outside: Path, out: Path, *words: str) -> list[str]:
    given = [word for item in _FEW for word in ("--set", item)]
    config, space = str(outside / "sine.yaml"), str(outside / "space.yaml")
    return ["search", config, "--space", space, "--local", "--out", str(out), *given, *words]


def test_it_knows_their_trials_and_counts_its_own(outside: Path, searched: Path, tmp_path: Path, distsys: Call) -> None:
    command = begun(outside, tmp_path, "--seed", "1")
    code, _, said = distsys(*command, "--from", str(searched))
    assert code == 0
    assert f"begins with what 3 trials of {searched.name} found, the best of them with mae" in " ".join(said.split())
    assert "its trials had other values: seed 0 -> 1" in " ".join(said.split())
    experiment = loaded(outside, tmp_path, "seed=1")
    known = read_earlier(experiment)
    best = min(known, key=lambda item: item.value)
    own = [read_record(path).params for path in sorted((experiment.folder / "trials").iterdir())]
    assert len(known) == len(own) == 3
    assert own[0]["optimizer.learning_rate"] == 1e-2, "the prior"
    assert own[1] == best.params
    study = open_study(experiment, local_means()[0].console)
    assert [row.number for row in study.rows()] == [0, 1, 2]
    assert len(study._study.get_trials(deepcopy=False)) == 6
    assert distsys(*command)[0] == 0, "the same without --from goes on"
    assert distsys(*command, "--from", str(searched))[0] == 0


def test_what_was_known_survives_a_lost_study(outside: Path, searched: Path, tmp_path: Path, distsys: Call) -> None:
    command = begun(outside, tmp_path, "--seed", "1", "--from", str(searched))
    assert distsys(*command)[0] == 0
    experiment = loaded(outside, tmp_path, "seed=1")
    (experiment.folder / "study.log").unlink()
    study = open_study(experiment, local_means()[0].console)
    assert [row.number for row in study.rows()] == [0, 1, 2]
    assert sum("number" not in trial.user_attrs for trial in study._study.get_trials(deepcopy=False)) == 3


def test_a_search_that_has_begun_without_it_is_refused(
    outside: Path, searched: Path, tmp_path: Path, distsys: Call
) -> None:
    command = begun(outside, tmp_path, "--seed", "1")
    assert distsys(*command)[0] == 0
    code, _, said = distsys(*command, "--from", str(searched))
    assert code == 2
    assert "has begun without it" in said
    assert "leave out --from to go on" in " ".join(said.split())


@pytest.mark.parametrize(
    ("space", "domain", "expected"),
    [
        ("optimizer.beta1: {low: 0.5, high: 0.9}", "sine", "none of its ended trials lies in this search space"),
        ("optimizer.learning_rate: {low: 0.5, high: 0.9}", "sine", "none of its ended trials lies in this"),
        ("optimizer.beta1: {low: 0.5, high: 0.9}", "cosine", "is of the domain cosine"),
        ("optimizer.beta1: {low: 0.5, high: 0.9}", "", "is no experiment"),
    ],
)
def test_another_space_or_domain_is_refused(
    outside: Path, searched: Path, tmp_path: Path, distsys: Call, space: str, domain: str, expected: str
) -> None:
    (tmp_path / "space.yaml").write_text(space)
    place = searched
    if domain != "sine":
        place = tmp_path / "other"
        (place / "artifacts").mkdir(parents=True)
        if domain:
            (place / "artifacts" / "config.yaml").write_text(f"domain: {domain}\n")
    command = begun(outside, tmp_path / "out", "--from", str(place))
    command[command.index("--space") + 1] = str(tmp_path / "space.yaml")
    code, _, said = distsys(*command)
    assert code == 2
    assert expected in " ".join(said.split())


def test_the_other_experiment_is_only_read_and_may_go_once_the_search_has_begun(
    outside: Path, searched: Path, tmp_path: Path, distsys: Call
) -> None:
    other = shutil.copytree(searched, tmp_path / "there" / searched.name)
    first, second, _ = sorted((other / "trials").iterdir())
    (first / "outcome.json").write_bytes((first / "outcome.json").read_bytes()[:-9])
    (second / "status.json").write_text('{"status": "running", "message": "", "time_ms": 1, "verdicts": []}')
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    command = begun(outside, tmp_path / "out", "--seed", "1", "--from", str(other))
    assert distsys(*command)[0] == 0
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before
    shutil.rmtree(other)
    assert distsys(*command)[0] == 0


def test_a_folder_that_is_not_there_is_named(outside: Path, tmp_path: Path, distsys: Call) -> None:
    code, _, said = distsys(*begun(outside, tmp_path, "--from", str(tmp_path / "nowhere")))
    assert code == 2
    assert f"--from {tmp_path / 'nowhere'}: there is no such folder" in said


def test_a_torn_file_of_it_is_named(outside: Path, searched: Path, tmp_path: Path, distsys: Call) -> None:
    command = begun(outside, tmp_path, "--seed", "1", "--from", str(searched))
    assert distsys(*command)[0] == 0
    path = loaded(outside, tmp_path, "seed=1").folder / "earlier.json"
    assert len(json.loads(path.read_text())["trials"]) == 3
    path.write_text(path.read_text()[:-9])
    code, _, said = distsys(*command[:-2])
    assert code == 1
    assert f"{path}: is damaged" in said
    assert "the search goes on without what was known before" in " ".join(said.split())
