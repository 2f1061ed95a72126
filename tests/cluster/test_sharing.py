"""Through Ray data are built once: by the driver, for all trials and workers of the node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.promise
def test_trials_candidates_and_workers_use_what_the_driver_built(outside: Path, tmp_path: Path) -> None:
    builds = tmp_path / "builds"
    given = [sys.executable, "-m", "distsys.cli", "run", str(outside / "sine.yaml"), "--out", str(tmp_path / "out")]
    more = ["--space", str(outside / "space.yaml"), "--workers", "2", "--set", f"data.builds={builds}"]
    done = subprocess.run([*given, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("sine-*/trials/*/run.json"))) == 4
    assert builds.read_text().splitlines() == ["0"]
