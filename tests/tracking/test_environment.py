"""Tags that say what a run ran on."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from distsys.tracking.environment import environment_tags


def _git(repo: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", repo, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_versions_without_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    tags = environment_tags(tmp_path)
    assert tags["env.python"] == platform.python_version()
    assert tags["env.numpy"].count(".") >= 1
    assert "code.commit" not in tags
    assert "s3cret" not in "".join(tags.values())


def test_commit_and_dirty_flag(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-m", "one")
    tags = environment_tags(tmp_path)
    assert (tags["code.commit"], tags["code.dirty"]) == (_git(tmp_path, "rev-parse", "HEAD"), "false")
    (tmp_path / "a").write_text("2")
    assert environment_tags(tmp_path)["code.dirty"] == "true"


def test_nothing_heavy_is_imported() -> None:
    check = (
        "import sys; from pathlib import Path; import distsys.tracking.mlflow_store, distsys.tracking.environment as e;"
        "e.environment_tags(Path('.')); print({'mlflow', 'torch', 'ray', 'numpy', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
