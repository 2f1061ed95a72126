"""Data that changed between the commands of an experiment are refused unless they are meant; other code is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distsys.config import reuse
from distsys.tracking.spool import read_record

pytestmark = pytest.mark.filterwarnings("ignore:Argument ``multivariate``")
Call = Callable[..., tuple[int, str, str]]
OPTIONS = ("{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--local", "--preset", "tiny", "--out", "{tmp}/o")


@pytest.fixture
def other_data(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the frozen sets others from now on, as if their files had been changed."""

    def change() -> None:
        module = sys.modules["sine_domain"]
        real = module.frozen
        monkeypatch.setattr(module, "frozen", lambda cycles, edge: real(cycles, edge + 0.001))
        reuse.forget()

    return change


def folder_in(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "o").glob("sine-*")
    return folder


@pytest.mark.parametrize("command", ["run", "final", "search"])
def test_data_that_changed_after_the_search_are_refused_until_they_are_meant(
    distsys: Call, tmp_path: Path, other_data: Callable[[], None], command: str
) -> None:
    assert distsys("search", *OPTIONS, "--quiet")[0] == 0
    before = read_record(folder_in(tmp_path)).tags["data.validation_digest"]
    other_data()
    code, _, err = distsys(command, *OPTIONS, "--quiet")
    assert code == 2
    assert f"the data changed since its trials began: validation set {before[:8]} -> " in err
    assert "--allow-changed-data" in err
    assert "bring the former data back" in err
    assert not (folder_in(tmp_path) / "final").exists()
    code, _, said = distsys(command, *OPTIONS, "--allow-changed-data")
    assert code == 0
    assert "WARNING: goes on with other data than its trials had" in said
    tags = read_record(folder_in(tmp_path)).tags
    assert tags["data.validation_digest.before"] == before != tags["data.validation_digest"]
    code, _, said = distsys(command, *OPTIONS)
    assert code == 0, "what was meant once is meant"
    assert "other data" not in said


def test_data_that_are_mended_before_the_first_trial_are_taken(
    distsys: Call, tmp_path: Path, other_data: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distsys.errors import StoppedByHealth
    from distsys.pipeline import run

    def stops(*arguments: Any) -> None:
        raise StoppedByHealth("not well")

    with monkeypatch.context() as patch:
        patch.setattr(run, "examined", stops)
        assert distsys("search", *OPTIONS, "--quiet")[0] == 3
    before = read_record(folder_in(tmp_path)).tags["data.validation_digest"]
    other_data()
    code, _, err = distsys("search", *OPTIONS, "--quiet")
    assert code == 0, err
    assert read_record(folder_in(tmp_path)).tags["data.validation_digest"] != before


def test_other_code_is_said_in_a_line_and_refuses_nothing(distsys: Call, tmp_path: Path) -> None:
    assert distsys("search", *OPTIONS, "--quiet")[0] == 0
    _, _, said = distsys("search", *OPTIONS)
    assert "other code" not in said
    path = folder_in(tmp_path) / "run.json"
    stored = json.loads(path.read_text())
    stored["tags"]["distsys.code"] = "0123456789abcdef"
    path.write_text(json.dumps(stored))
    code, _, said = distsys("search", *OPTIONS)
    assert code == 0
    assert said.count("the experiment was begun by other code: distsys.code 01234567 -> ") == 1
