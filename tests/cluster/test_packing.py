"""What a job takes along of a project, what it leaves, and what is too large."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from distsys.cluster.packing import collected
from distsys.errors import UsageError

KEPT = ["configs/sine.yaml", "sine/__init__.py", "sine/data/__init__.py", "sine/data/reading.py"]
LEFT = [
    ".env",
    ".env.local",
    ".git/config",
    ".venv/pyvenv.cfg",
    ".venv/lib/torch.py",
    "mine/pyvenv.cfg",
    "mine/lib/torch.py",
    "conda/conda-meta/history",
    "conda/bin/python",
    "data/records.csv",
    "datasets/a.npz",
    "runs/sine-1/study.log",
    "results/sine-1/run.json",
    "results/sine-1/final/model.pt",
    "checkpoints/step-1/model.pt",
    "mlruns/0/meta.yaml",
    "mlflow.db",
    "sine/__pycache__/a.pyc",
    "elsewhere/b.txt",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in (*KEPT, *LEFT):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_code_and_configs_are_taken_along_and_nothing_else(project: Path) -> None:
    package = collected(project, limit_mb=1.0, without=project / "elsewhere")
    assert [str(file) for file in package.files] == KEPT
    assert package.num_bytes == sum(len(name) for name in KEPT)
    assert package.holds(Path("sine/data"))
    assert package.holds(Path("sine/data/reading.py"))
    assert not package.holds(Path("data/records.csv"))


def test_what_git_ignores_is_left(project: Path) -> None:
    subprocess.run(["rm", "-r", str(project / ".git")], check=True)
    (project / ".gitignore").write_text("*.tmp\n/secret/\n")
    for name in ("sine/a.tmp", "secret/key.txt"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(name)
    assert Path("secret/key.txt") in collected(project, limit_mb=1.0).files
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    files = collected(project, limit_mb=1.0).files
    assert Path("secret/key.txt") not in files
    assert Path("sine/a.tmp") not in files
    assert Path("sine/data/reading.py") in files  # untracked, not ignored


def test_the_archive_holds_the_files_and_is_the_same_again(project: Path, tmp_path: Path) -> None:
    package = collected(project, limit_mb=1.0, without=project / "elsewhere")
    package.write(tmp_path / "a.zip")
    for name in KEPT:
        (project / name).touch()
    package.write(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == KEPT
        assert archive.read(KEPT[0]).decode() == KEPT[0]


def test_what_is_too_large_is_refused_and_named(project: Path) -> None:
    (project / "corpus").mkdir()
    for number in range(3):
        (project / "corpus" / f"{number}.wav").write_bytes(bytes(400_000 + number))
    (project / "weights.bin").write_bytes(bytes(700_000))
    with pytest.raises(UsageError) as caught:
        collected(project, limit_mb=1.5)
    assert (
        "1.9 MB in 9 files; large: corpus 1.2 MB (of that corpus/2.wav 0.4), weights.bin 0.7 MB" in caught.value.found
    )
    assert "at most 1.5 MB" in caught.value.expected
    assert ".gitignore" in caught.value.fix
    assert len(collected(project, limit_mb=2.0).files) == 9


def test_no_folder_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        collected(tmp_path / "nowhere", limit_mb=1.0)
    with pytest.raises(UsageError, match="nothing to take along"):
        collected(tmp_path, limit_mb=1.0)
