"""Experiments as wholes: listed, watched, compared, extended, cleared away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from distsys.errors import UsageError
from distsys.files import lock
from distsys.pipeline.compare import compared, comparison_text
from distsys.pipeline.shelf import Rule, shelved, to_clear
from distsys.tracking.spool import Spool

pytestmark = pytest.mark.filterwarnings("ignore")
Call = Callable[..., tuple[int, str, str]]
FEW = ("--set", "search.trials=2", "--set", "search.startup_trials=2", "--set", "search.reduction_factor=null")


def given(outside: Path, out: Path) -> list[str]:
    return [str(outside / "sine.yaml"), "--space", str(outside / "space.yaml"), "--local", "--out", str(out)]


@pytest.fixture
def out(outside: Path, tmp_path_factory: pytest.TempPathFactory, made: Path) -> Path:
    """A copy of the folder with an experiment and two trainings, to change at will."""
    place = tmp_path_factory.mktemp("looking") / "runs"
    shutil.copytree(made, place)
    return place


@pytest.fixture(scope="module")
def made(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from distsys.cli import main

    place = tmp_path_factory.mktemp("made")
    assert main(["run", *given(outside, place), *FEW, "--quiet"]) == 0
    for width in (2, 16):
        assert main(["train", *given(outside, place), "--set", f"model.width={width}", "--quiet"]) == 0
    return place


def named(out: Path, start: str) -> list[Path]:
    return sorted(path for path in out.iterdir() if path.name.startswith(start) and "-train-" not in path.name)


def trainings(out: Path) -> list[Path]:
    return sorted(out.glob("*-train-*"), key=lambda path: path.stat().st_mtime)


def test_the_list_says_how_each_stands(out: Path, distsys: Call) -> None:
    (folder,) = named(out, "sine-")
    code, text, _ = distsys("list", "--out", str(out), "--json")
    assert code == 0
    found = {item["name"]: item for item in json.loads(text)}
    assert len(found) == 3
    own = found[folder.name]
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert (own["state"], own["phase"], own["health"]) == ("finished", "evaluated", "healthy")
    assert own["best"] == evaluation["metrics"]["mae"]
    assert own["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    code, text, _ = distsys("list", "--out", str(out))
    assert max(map(len, text.splitlines())) <= 80
    assert folder.name in text
    assert distsys("list", "--out", str(out / "nowhere"))[1].startswith(f"{out / 'nowhere'}: no experiments")


def test_a_run_without_driver_is_interrupted_one_with_a_driver_runs(out: Path, distsys: Call) -> None:
    (folder,) = named(out, "sine-")
    (folder / "evaluation.json").unlink()
    shutil.rmtree(folder / "final")
    Spool(folder).finish("running")
    _, text, _ = distsys("status", str(folder))
    assert "state       interrupted" in text
    assert "phase       handoff, 2 of 2 ended" in text
    with lock(folder / ".lock") as is_held:
        assert is_held
        child = os.fork()
        if child == 0:  # the lock is this process's, so that another one has to look
            state = [item.state for item in shelved(out) if item.folder == folder]
            os._exit(0 if state == ["running"] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_cannot_be_read_stands_in_the_list(out: Path, distsys: Call) -> None:
    (folder,) = named(out, "sine-")
    (folder / "status.json").write_text("{")
    code, text, _ = distsys("list", "--out", str(out))
    assert code == 0
    assert "damaged" in text
    assert "status.json" in text


def test_two_trainings_are_compared_item_by_item(out: Path, tmp_path: Path, distsys: Call) -> None:
    narrow, wide = trainings(out)
    found = compared([narrow, wide])
    (difference,) = found.differences()
    items = [json.loads((folder / "evaluation.json").read_text())["items"] for folder in (narrow, wide)]
    apart = [other - one for one, other in zip(*items, strict=True)]
    mean = sum(apart) / len(apart)
    error = (sum((item - mean) ** 2 for item in apart) / (len(apart) - 1) / len(apart)) ** 0.5
    assert difference.is_paired
    assert difference.value == pytest.approx(mean, rel=1e-3)
    assert difference.error == pytest.approx(error, rel=1e-3)
    assert found.config_rows() == [["model.width", "2", "16"]]
    assert list(found.to_pandas()["mae"]) == [side.value for side in found.sides]
    code, text, _ = distsys("compare", str(narrow), str(wide), "-o", str(tmp_path / "both.html"))
    assert code == 0
    assert difference.words("V").rpartition(": ")[2] in text
    assert "item by item" in text
    page = (tmp_path / "both.html").read_text()
    assert "What was set otherwise" in page
    assert page.count("<svg") >= 3


def test_a_model_and_itself_are_a_tie(out: Path) -> None:
    narrow, _ = trainings(out)
    (difference,) = compared([narrow, narrow]).differences()
    assert difference.is_tie
    assert "nothing was set otherwise" in comparison_text(compared([narrow, narrow]))


def test_trials_are_compared_on_the_validation_set(out: Path) -> None:
    (folder,) = named(out, "sine-")
    found = compared(sorted((folder / "trials").iterdir()))
    assert found.sides[0].on == "validation set"
    assert {row[0] for row in found.config_rows()} >= {"optimizer.learning_rate"}


def test_what_cannot_be_compared_is_refused(out: Path, tmp_path: Path, distsys: Call) -> None:
    with pytest.raises(UsageError, match="1 to compare"):
        compared([out])
    code, _, err = distsys("compare", str(out), str(out))
    assert code == 2
    assert "nothing that ended" in err
    code, _, err = distsys("compare", *map(str, trainings(out)), "-o", str(tmp_path / "x.pdf"))
    assert code == 2
    assert "no format '.pdf'" in err


def test_more_trials_go_on_with_those_there_are(out: Path, distsys: Call) -> None:
    (folder,) = named(out, "sine-")
    before = {path.name: (path / "outcome.json").read_bytes() for path in (folder / "trials").iterdir()}
    code, _, err = distsys("extend", str(folder), "--trials", "2", "--local", "--out", str(out))
    assert code == 0, err
    after = {path.name: (path / "outcome.json").read_bytes() for path in (folder / "trials").iterdir()}
    assert len(after) == 4
    assert before.items() <= after.items(), "a trial was run again"
    handoff = json.loads((folder / "handoff.json").read_text())
    evaluation = json.loads((folder / "evaluation.json").read_text())
    (tag,) = {
        json.loads((folder / "final" / name / "run.json").read_text())["tags"]["distsys.trial"]
        for name in [Path(evaluation["checkpoint"]).parts[-3]]
    }
    assert int(tag) == handoff["winner"]
    assert distsys("evaluate", str(folder))[0] == 0, "several trainings, of which one was taken"
    code, _, err = distsys("extend", str(trainings(out)[0]), "--trials", "2", "--local", "--out", str(out))
    assert code == 2
    assert "no experiment" in err


def test_more_steps_go_on_from_the_checkpoint(out: Path, distsys: Call) -> None:
    (folder,) = named(out, "sine-")
    before = json.loads((folder / "evaluation.json").read_text())
    code, text, err = distsys("extend", str(folder), "--steps", "60", "--local", "--out", str(out), "--json")
    assert code == 0, err
    (home,) = folder.glob("from-*")
    (run,) = (home / "final").iterdir()
    outcome = json.loads((run / "outcome.json").read_text())
    assert outcome["spec"]["config"]["final"]["steps"] == 60
    assert outcome["spec"]["origin"]["step"] == before["step"]
    assert json.loads(text)["metrics"]["mae"] < before["metrics"]["mae"]
    assert json.loads((folder / "evaluation.json").read_text()) == before
    assert distsys("extend", str(folder), "--local", "--out", str(out))[0] == 2


def test_only_what_the_rule_names_goes_and_never_the_best(out: Path, distsys: Call) -> None:
    items = shelved(out)
    best = min(items, key=lambda item: item.best)
    everything = to_clear(items, Rule(larger=1))
    assert {item.folder for item in items} - {item.folder for item in everything} == {best.folder}
    assert to_clear(items, Rule(older_s=3600.0)) == []
    assert to_clear(items, Rule(states=frozenset(["interrupted"]))) == []
    code, _, err = distsys("clean", "--out", str(out), "--larger-than", "0.001kB")
    assert code == 2, "nobody was there to ask"
    assert "2 experiments would go" in err
    assert len(shelved(out)) == 3
    code, text, _ = distsys("clean", "--out", str(out), "--larger-than", "0.001kB", "--yes")
    assert (code, text.splitlines()[-1].startswith("removed 2 experiments")) == (0, True)
    assert [item.folder for item in shelved(out)] == [best.folder]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), "clean without a word"),
        (("--older-than", "30"), "'30' is not an age such as 12h"),
        (("--larger-than", "much"), "'much' is not a size"),
        (("--state", "old"), "invalid choice: 'old'"),
        (("--older-than", "1h", "--out", "s3://bucket/runs"), "clean --out s3://bucket/runs"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(
    tmp_path: Path, distsys: Call, arguments: tuple[str, ...], found: str
) -> None:
    code, _, err = distsys("clean", "--out", str(tmp_path), *arguments)
    assert code == 2
    assert found in err


def test_an_edited_config_says_what_it_differs_in_from_the_nearest(out: Path, outside: Path, distsys: Call) -> None:
    (folder,) = named(out, "sine-")
    code, _, err = distsys("search", *given(outside, out), *FEW, "--set", "model.width=12")
    assert code == 0
    assert err.splitlines()[0].endswith(f"it differs from {folder.name} in model.width 16 -> 12")
    code, _, err = distsys("search", *given(outside, out), *FEW, "--set", "model.width=12")
    assert "differs" not in err


def test_more_trials_in_the_config_are_the_same_experiment(out: Path, outside: Path, distsys: Call) -> None:
    (folder,) = named(out, "sine-")
    assert distsys("search", *given(outside, out), *FEW, "--set", "search.trials=3")[0] == 0
    assert len(list((folder / "trials").iterdir())) == 3
    code, _, _ = distsys("run", *given(outside, out), *FEW)
    assert code == 0, "fewer than there are is no fault"
    assert len(list((folder / "trials").iterdir())) == 3
