"""A damaged study is rebuilt from its trials' folders: same numbers, parameters, values, states and verdicts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal._storage import JournalOperation

from distsys.cluster.rows import TrialRow
from distsys.cluster.rungs import RungPruner
from distsys.config.validate import with_values
from distsys.errors import ConfigError
from distsys.health.verdict import Verdict
from distsys.pipeline import search
from distsys.pipeline.experiment import Experiment, load_experiment
from distsys.pipeline.search import open_study, read_search, run_search
from distsys.tracking.spool import read_status
from distsys.training.loop import Run
from tests.pipeline.support import local_means

pytestmark = pytest.mark.filterwarnings("ignore:Argument ``multivariate``")
NUM_TRIALS, FAILED, PRUNED = 5, 2, 4
SET = (f"search.trials={NUM_TRIALS}", "search.startup_trials=9", "search.reduction_factor=2", "health.accept=[]")


def experiment_in(outside: Path, root: Path) -> Experiment:
    space = outside / "space.yaml"
    return load_experiment(str(outside / "sine.yaml"), root=root, overrides=SET, space=space)


class Killed(BaseException):
    """What no handler of errors stops."""


def searched(outside: Path, root: Path, patch: pytest.MonkeyPatch, *, killed_in: int | None = None) -> Experiment:
    """A search whose trial ``FAILED`` breaks off; another one is killed after its second validation."""
    found, real, begun = experiment_in(outside, root), Run._validate, []

    def validate(run: Run, *arguments: Any) -> Any:
        if run.step == 20:
            begun.append(1)
        if len(begun) - 1 == FAILED:
            raise ZeroDivisionError("trial 2 is broken")
        done = real(run, *arguments)
        if len(begun) - 1 == killed_in:
            raise Killed
        return done

    found.folder.mkdir(parents=True)
    with patch.context() as patched:
        patched.setattr(Run, "_validate", validate)
        patched.setattr(RungPruner, "stops", lambda pruner, number, *, step, noise_floor: number == PRUNED)
        try:
            run_search(found, local_means()[0])
        except Killed:
            assert killed_in is not None
    return found


@pytest.fixture(scope="module")
def whole(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, list[TrialRow]]:
    with pytest.MonkeyPatch.context() as patch:
        found = searched(outside, tmp_path_factory.mktemp("whole"), patch)
    rows = read_search(found, local_means()[0].console).rows
    assert {"complete", "failed", "pruned"} == {row.state for row in rows}
    assert len(rows) == NUM_TRIALS
    return found, rows


def endings(content: bytes) -> Iterator[bytes]:
    """Cut at every byte of the last two lines, and with NULs or garbage in place of what is lost."""
    begin = content.rfind(b"\n", 0, content.rfind(b"\n", 0, -1)) + 1
    for end in range(begin, len(content)):
        yield content[:end]
        yield content[:end].ljust(len(content), b"\0")
        yield content[:end] + b"\0" * 9 + b"\n"


def holes(content: bytes) -> Iterator[bytes]:
    """Each line lost, or replaced by NULs or garbage."""
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines):
        for instead in (b"", b"\0" * (len(line) - 1) + b"\n", b'{"op_code": 77}\n', b"garbage\n", b"3\n"):
            yield b"".join([*lines[:number], instead, *lines[number + 1 :]])
    yield from (b"", b"\n", b"\0" * len(content))


@pytest.mark.parametrize("harms", [endings, holes])
def test_whatever_is_lost_of_the_study_its_trials_stand(
    whole: tuple[Experiment, list[TrialRow]],
    outside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harms: Callable[[bytes], Iterator[bytes]],
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    source, rows = whole
    found = experiment_in(outside, tmp_path)
    shutil.copytree(source.folder, found.folder)
    path = found.folder / "study.log"
    intact = path.read_bytes()
    assert intact.endswith(b"\n")
    for number, content in enumerate(harms(intact)):
        path.write_bytes(content)
        means, said = local_means()
        study = open_study(found, means.console)
        assert same(study.rows(), rows), (number, content[-300:])
        assert study.remaining == 0
        line = said.getvalue()
        assert line == "" or "rebuilt from the 5 ended trials on disk" in " ".join(line.split())
        for damaged in found.folder.glob("study.log.damaged*"):
            damaged.unlink()
        assert same(open_study(found, local_means()[0].console).rows(), rows), "opened again"


def same(found: list[TrialRow], rows: list[TrialRow]) -> bool:
    """Equal, where NaN is."""
    return json.dumps([vars(row) for row in found], default=vars) == json.dumps(
        [vars(row) for row in rows], default=vars
    )


def test_a_lost_study_is_said_in_one_line_and_kept(
    whole: tuple[Experiment, list[TrialRow]], outside: Path, tmp_path: Path
) -> None:
    found = experiment_in(outside, tmp_path)
    shutil.copytree(whole[0].folder, found.folder)
    path = found.folder / "study.log"
    path.write_bytes(b"")
    means, said = local_means()
    open_study(found, means.console)
    assert " ".join(said.getvalue().split()) == (
        f"search: {path}: lacks trials [0, 1, 2, 3, 4], which ended in their folders; kept as study.log.damaged, "
        "rebuilt from the 5 ended trials on disk"
    )
    assert (found.folder / "study.log.damaged").is_file()


@pytest.mark.parametrize("name", ["run.json", "status.json"])
def test_a_torn_file_of_a_trial_does_not_lose_it_where_another_tells_the_same(
    whole: tuple[Experiment, list[TrialRow]], outside: Path, tmp_path: Path, name: str
) -> None:
    source, rows = whole
    found = experiment_in(outside, tmp_path)
    shutil.copytree(source.folder, found.folder)
    (found.folder / "study.log").write_bytes(b"")
    complete = [row for row in rows if row.state == "complete"]
    for row in complete:
        (folder,) = (found.folder / "trials").glob(f"{row.number:04d}-*")
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    assert same(open_study(found, local_means()[0].console).rows(), rows)


@pytest.mark.parametrize("harm", ["intact", "empty", "first line", "middle line", "last lines", "no file"])
def test_a_search_killed_with_its_study_damaged_ends_with_each_trial_once(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    found = searched(outside, tmp_path, monkeypatch, killed_in=3)
    path, places = found.folder / "study.log", sorted((found.folder / "trials").iterdir())
    before = {place.name: json.loads((place / "run.json").read_text())["params"] for place in places}
    assert len(before) == 4
    lines = path.read_bytes().splitlines(keepends=True)
    created = [line for line in lines if json.loads(line)["op_code"] == JournalOperation.CREATE_TRIAL]
    kept = {
        "intact": lines,
        "empty": [],
        "first line": lines[1:],
        "middle line": [line for line in lines if line != created[1]],
        "last lines": lines[:-8],
    }
    path.unlink() if harm == "no file" else path.write_bytes(b"".join(kept[harm]))
    means, said = local_means()
    result = run_search(found, means)
    assert ("rebuilt from" in " ".join(said.getvalue().split())) == (harm not in ("intact", "last lines")), (
        said.getvalue()
    )
    assert [row.number for row in result.rows] == list(range(NUM_TRIALS))
    folders = sorted((found.folder / "trials").iterdir())
    assert [folder.name[:4] for folder in folders] == [f"{number:04d}" for number in range(NUM_TRIALS)]
    assert {name for name in before} <= {folder.name for folder in folders}
    assert [row.params for row in result.rows][:4] == list(before.values())
    assert all(read_status(folder).status in ("finished", "pruned", "failed") for folder in folders)


def test_a_trial_that_ended_before_the_study_heard_of_it_is_not_run_again(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distsys.cluster.study import Study

    def killed(*arguments: object, **named: object) -> None:
        raise Killed

    found = experiment_in(outside, tmp_path)
    found.folder.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(Study, "complete", killed)
        with pytest.raises(Killed):
            run_search(found, local_means()[0])
    (folder,) = (found.folder / "trials").iterdir()
    stamp = (folder / "outcome.json").stat().st_mtime_ns
    means, said = local_means()
    result = run_search(found, means)
    assert len(result.rows) == NUM_TRIALS
    assert (folder / "outcome.json").stat().st_mtime_ns == stamp
    assert "rebuilt" not in said.getvalue()


def test_trials_that_could_not_say_themselves_why_they_failed_are_rebuilt_too(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process died, or its parameters were refused before there was one."""
    found = experiment_in(outside, tmp_path)
    found.folder.mkdir(parents=True)
    means, _ = local_means()
    study = open_study(found, means.console)
    real, calls = with_values, []

    def refused(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ConfigError("width does not fit")
        return real(*arguments)

    monkeypatch.setattr("distsys.pipeline.search.with_values", refused)
    with means.console.bar("search", NUM_TRIALS) as bar:
        source = search.StudySource(found, study, bar, means)
        assigned = source.next()
        assert assigned is not None
        assert assigned.key == 1
        source.fail(assigned.key, Verdict("stop", "failed: its process died", "3 times", 0))
    rows = study.rows()
    assert [row.verdicts[0].cause for row in rows] == ["failed: parameters refused", "failed: its process died"]
    (found.folder / "study.log").unlink()
    assert same(open_study(found, means.console).rows(), rows)
