"""Torn files of a finished experiment: made again where that is possible, named where it is not, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distsys.cli import main
from distsys.errors import CheckpointError, DamagedFile
from distsys.pipeline import doctor
from distsys.pipeline.handoff import known_handoff
from distsys.pipeline.ranking import Handoff
from distsys.tracking.spool import read_record, read_status
from distsys.training import checkpoint
from distsys.training.assess import ANY_METRIC
from distsys.training.evaluated import Evaluated
from distsys.training.outcome import Outcome
from tests.pipeline.support import local_means
from tests.pipeline.test_doctor import finding

Call = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.filterwarnings("ignore:Argument ``multivariate``")


def command(outside: Path, out: Path) -> list[str]:
    config, space = str(outside / "sine.yaml"), str(outside / "space.yaml")
    return ["run", config, "--space", space, "--local", "--preset", "tiny", "--out", str(out)]


@pytest.fixture(scope="module")
def ended(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole experiment, to be copied before it is harmed."""
    out = tmp_path_factory.mktemp("ended")
    assert main([*command(outside, out), "--quiet"]) == 0
    (folder,) = out.glob("sine-*")
    return folder


def harms(content: bytes) -> Iterator[bytes]:
    """Cut at every byte of the last two lines, the same with NULs in place of what is lost, and other content."""
    begin = content.rstrip(b"\n").rfind(b"\n", 0, content.rstrip(b"\n").rfind(b"\n")) + 1
    for end in range(begin, len(content.rstrip(b"\n"))):
        yield content[:end]
        yield content[:end].ljust(len(content), b"\0")
    yield from (b"", b"\0" * len(content), b"[]", b"3", b"{}", b"null")


def final_of(folder: Path) -> Path:
    return next((folder / "final").iterdir())


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "handoff.json": (lambda folder: folder, Handoff.read),
    "outcome.json": (final_of, lambda path: Outcome.read(path.parent, ANY_METRIC)),
    "evaluation.json": (lambda folder: folder, lambda path: Evaluated.read(path.parent)),
    "run.json": (lambda folder: folder, lambda path: read_record(path.parent)),
    "status.json": (lambda folder: folder, lambda path: read_status(path.parent)),
    "meta.json": (
        lambda folder: max(final_of(folder).glob("checkpoints/*")),
        lambda path: checkpoint.load(path.parent),
    ),
    "manifest.json": (
        lambda folder: max(final_of(folder).glob("checkpoints/*")),
        lambda path: checkpoint.load(path.parent),
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_torn_anywhere_is_named_with_what_to_do(ended: Path, tmp_path: Path, name: str) -> None:
    place, read = READERS[name]
    folder = shutil.copytree(ended, tmp_path / "copy")
    path = place(folder) / name
    assert read(path) is not None
    whole = path.read_bytes()
    for content in harms(whole):
        path.write_bytes(content)
        with pytest.raises((DamagedFile, CheckpointError)) as caught:
            read(path)
        assert str(path) in caught.value.found, content[-40:]
        assert caught.value.fix, content[-40:]


def test_a_torn_handoff_is_set_aside_said_and_made_again(ended: Path, tmp_path: Path, outside: Path) -> None:
    from distsys.pipeline.experiment import load_experiment

    shutil.copytree(ended, tmp_path / ended.name)
    experiment = load_experiment(str(outside / "sine.yaml"), root=tmp_path, preset="tiny", space=outside / "space.yaml")
    path = experiment.folder / "handoff.json"
    means, said = local_means()
    torn = list(harms(path.read_bytes()))
    for content in torn:
        path.write_bytes(content)
        assert known_handoff(experiment, means.console) is None
        assert not path.exists()
    assert " ".join(said.getvalue().split()).count("it is made again from the outcomes of its candidates") == len(torn)


def test_a_torn_word_of_the_doctor_is_asked_for_again(
    ended: Path, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distsys.pipeline.experiment import load_experiment

    calls = finding(monkeypatch)
    shutil.copytree(ended, tmp_path / ended.name)
    experiment = load_experiment(str(outside / "sine.yaml"), root=tmp_path, preset="tiny", space=outside / "space.yaml")
    means, said = local_means()
    path = experiment.folder / doctor.FILE
    torn = list(harms(path.read_bytes()))
    for number, content in enumerate(torn):
        path.write_bytes(content)
        doctor.examined(experiment, means)
        assert len(calls) == number + 1
        assert json.loads(path.read_text())["probes"]
    assert " ".join(said.getvalue().split()).count("the doctor looks again") == len(torn)


HARMED = (
    "handoff.json",
    "doctor.json",
    "evaluation.json",
    "run.json",
    "status.json",
    "final/*/outcome.json",
    "handoff/0001-*/outcome.json",
)


@pytest.mark.parametrize("pattern", HARMED)
def test_the_same_command_mends_what_is_torn_and_ends_the_same(
    ended: Path, tmp_path: Path, outside: Path, distsys: Call, pattern: str
) -> None:
    folder = shutil.copytree(ended, tmp_path / ended.name)
    code, before, _ = distsys(*command(outside, tmp_path), "--json")
    assert code == 0
    (path,) = folder.glob(pattern)
    whole = path.read_bytes()
    for content in (whole[:-3], whole[:-3].ljust(len(whole), b"\0")):
        path.write_bytes(content)
        if pattern.startswith("handoff/"):  # nobody asks for its parts while it stands
            (folder / "handoff.json").unlink()
        code, _, said = distsys(*command(outside, tmp_path))
        assert code == 0
        assert "Traceback" not in said
        if path.name in ("handoff.json", "doctor.json", "outcome.json"):
            assert f"{path.name}.damaged" in said
        json.loads(path.read_text())
    assert json.loads(distsys(*command(outside, tmp_path), "--json")[1]) == json.loads(before)


@pytest.mark.parametrize("content", [b'{"status": "running", "message": "", "time_ms": 1, "verdicts": []}', b'{"stat'])
@pytest.mark.parametrize("pattern", ["trials/0001-*", "handoff/0001-*", "final/*"])
def test_a_run_that_ended_is_told_as_ended_though_its_process_could_not_say_so(
    ended: Path, tmp_path: Path, outside: Path, distsys: Call, pattern: str, content: bytes
) -> None:
    folder = shutil.copytree(ended, tmp_path / ended.name)
    (run,) = folder.glob(pattern)
    before = read_status(run)
    (run / "status.json").write_bytes(content)
    if pattern.startswith("handoff/"):  # it was killed before the handoff ended
        (folder / "handoff.json").unlink()
    assert distsys(*command(outside, tmp_path))[0] == 0
    found = read_status(run)
    assert (found.status, found.verdicts) == (before.status, before.verdicts)


def test_what_killed_writers_left_is_removed(ended: Path, tmp_path: Path, outside: Path, distsys: Call) -> None:
    folder = shutil.copytree(ended, tmp_path / ended.name)
    for place in (folder, final_of(folder)):
        (place / ".status.json.4711.partial").write_text("{")
    half = final_of(folder) / "checkpoints" / ".step-00000020.partial"
    half.mkdir()
    (half / "model.pt").write_bytes(b"half")
    assert distsys(*command(outside, tmp_path))[0] == 0
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("pattern", ["final/*/outcome.json"])
def test_who_cannot_mend_it_names_the_file_and_the_command(
    ended: Path, tmp_path: Path, distsys: Call, pattern: str
) -> None:
    folder = shutil.copytree(ended, tmp_path / ended.name)
    (path,) = folder.glob(pattern)
    path.write_bytes(path.read_bytes()[:-3])
    code, _, err = distsys("evaluate", str(folder))
    assert code == 1
    assert err.startswith(f"error: {path}: is damaged: ")
    assert "fix: repeat the command that made it: the run goes on from its newest checkpoint" in err


def test_a_flipped_best_checkpoint_of_a_finished_run_says_what_to_do(
    ended: Path, tmp_path: Path, outside: Path, distsys: Call
) -> None:
    folder = shutil.copytree(ended, tmp_path / ended.name)
    for path in folder.glob("final/*/checkpoints/*/model.pt"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(bytes(content))
    code, _, err = distsys(*command(outside, tmp_path), "--quiet")
    assert code == 1
    assert "model.pt: does not match its hash" in err
    assert f"delete {final_of(folder)} and repeat the command that made it: that run is trained again" in err
    shutil.rmtree(final_of(folder))
    assert distsys(*command(outside, tmp_path), "--quiet")[0] == 0
