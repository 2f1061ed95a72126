"""The pytest fixture ``watched``: it fails a test that trains something sick, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SICK = "clear=False"
TEST = """
from tests.health.watch.programs import classify

def test_training(watched):
    assert len(classify(0, {options})) == 160
"""


def _pytest(folder: Path, options: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text('pytest_plugins = ["distsys.testing.plugin"]\n')
    (folder / "test_it.py").write_text(TEST.format(options=options))
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[3]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    return done.returncode, done.stdout


def test_a_healthy_loop_passes(tmp_path: Path) -> None:
    assert _pytest(tmp_path, "")[0] == 0


def test_a_sick_one_fails_with_its_cause(tmp_path: Path) -> None:
    code, text = _pytest(tmp_path, SICK)
    assert code == 1 and "gradients are never cleared" in text
