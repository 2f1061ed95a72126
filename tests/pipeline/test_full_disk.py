"""No space left: the command says where and ends, no trial fails for it, and the same command goes on."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from distsys import files
from distsys.errors import DiskFull
from distsys.pipeline.experiment import Experiment, load_experiment
from distsys.pipeline.search import run_search
from distsys.tracking import spool
from distsys.tracking.spool import read_record, read_status
from distsys.training.loop import fit
from tests.pipeline.support import local_means
from tests.training.support import make_context

pytestmark = pytest.mark.filterwarnings("ignore:Argument ``multivariate``")
FEW = ("search.trials=3", "search.startup_trials=9", "search.reduction_factor=null")
Write = Callable[..., Any]


def experiment_in(outside: Path, root: Path) -> Experiment:
    space = outside / "space.yaml"
    found = load_experiment(str(outside / "sine.yaml"), root=root, overrides=FEW, space=space)
    found.folder.mkdir(parents=True, exist_ok=True)
    return found


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def no_space_for(pattern: str, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """No space for files whose path fits ``pattern``, or for the study after so many writes: ``study:40``."""

    def refusing(real: Write) -> Write:
        def write(path: Path, *rest: Any) -> Any:
            if path.match(pattern):
                with files.full_disk_named(path):
                    raise full()
            return real(path, *rest)

        return write

    real_append, calls = JournalFileBackend.append_logs, []

    def append_logs(journal: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        calls.append(1)
        if pattern == f"study:{len(calls)}":
            with Path(journal._file_path).open("ab") as stream:
                stream.write(b'{"op_code": 4, "wor')
            raise full()
        real_append(journal, logs)

    with patch.context() as patched:
        patched.setattr(files, "write_bytes", refusing(files.write_bytes))
        patched.setattr(spool, "append", refusing(files.append))
        patched.setattr(JournalFileBackend, "append_logs", append_logs)
        yield


@pytest.mark.parametrize(
    "pattern",
    [
        "trials/0001-*/run.json",
        "trials/0001-*/status.json",
        "trials/0001-*/metrics.jsonl",
        "trials/0001-*/outcome.json",
        *(f"study:{count}" for count in range(1, 14)),
    ],
)
def test_a_search_without_space_fails_no_trial_and_goes_on(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    found = experiment_in(outside, tmp_path)
    with pytest.raises(DiskFull) as caught, no_space_for(pattern, monkeypatch):
        run_search(found, local_means()[0])
    name = "study.log" if pattern.startswith("study") else pattern.rpartition("/")[2]
    assert f"{name}: no space left on the disk" in caught.value.found
    assert "free space" in caught.value.fix
    before = {path.parent.name: read_record(path.parent).params for path in found.folder.glob("trials/*/run.json")}
    result = run_search(found, local_means()[0])
    assert [(row.number, row.state) for row in result.rows] == [(0, "complete"), (1, "complete"), (2, "complete")]
    folders = {folder.name: folder for folder in (found.folder / "trials").iterdir()}
    assert len(folders) == 3
    assert {name: read_record(folders[name]).params for name in before} == before
    assert all(read_status(folder).status == "finished" for folder in folders.values())


def test_a_reading_without_space_is_no_failure(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray's processes hand to the driver."""
    from distsys.training.trials import TrialRun

    context = make_context(outside, tmp_path / "other", phase="search")
    record = spool.RunRecord("trial", "trial-0000", None, {}, {})
    run = TrialRun(context.spec.content(), tmp_path / "trial", record)
    with no_space_for("trial/run.json", monkeypatch):
        reading = run.step()
    assert reading.no_space == f"{tmp_path / 'trial' / 'run.json'}: no space left on the disk"
    assert reading.ended
    assert reading.failure is None


def test_a_training_without_space_for_a_checkpoint_goes_on_from_the_one_before(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(make_context(outside, tmp_path / "whole"))
    real, calls = files.sync, []

    def sync(descriptor: int) -> None:
        calls.append(1)
        if len(calls) == 6:
            raise full()
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("distsys.training.checkpoint.sync", sync)
        with pytest.raises(DiskFull, match="step-00000060: no space left on the disk"):
            fit(make_context(outside, tmp_path / "cut"))
    outcome = fit(make_context(outside, tmp_path / "cut"))
    assert outcome.notes == ("resumed at step 30 of 120",)
    assert outcome.selection.history == whole.selection.history


@contextmanager
def small_disk(place: Path, size_kb: int) -> Iterator[None]:
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    ("size_kb", "way"), [(72, "--local"), (160, "--local"), (280, "--local"), (160, "--workers=1")]
)
@pytest.mark.slow
@pytest.mark.ray
def test_a_disk_that_is_really_full(outside: Path, tmp_path: Path, size_kb: int, way: str) -> None:
    disk = tmp_path / "disk"
    config, space = str(outside / "sine.yaml"), str(outside / "space.yaml")
    command = [sys.executable, "-m", "distsys", "run", config, "--space", space, "--out", str(disk / "runs"), way]
    command += ["--preset", "tiny", "--json", "--no-doctor"]
    with small_disk(disk, size_kb):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert "no space left on the disk" in done.stderr
        assert "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["metrics"]
        (folder,) = (disk / "runs").glob("sine-*")
        trials = sorted((folder / "trials").iterdir())
        assert [(path.name[:4], read_status(path).status) for path in trials] == [
            ("0000", "finished"),
            ("0001", "finished"),
        ]
