"""The guide to a domain of one's own: each of its commands is run, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "own-domain.md"
STAND_INS = {
    "distsys": "-m distsys.cli",
    "pytest": "-m pytest -q -p no:cacheprovider",
    "pip": "-m tests.outside",
}
"""What each command is here: pip's part needs no network and leaves this environment alone."""


def steps() -> list[tuple[str, str]]:
    """Language and text of every block that is to be run."""
    return re.findall(r"```(sh|python)\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)


def test_paths_that_the_guide_names_exist() -> None:
    named = re.findall(r"`((?:distsys|examples|docs)/[\w/.-]+)`", GUIDE.read_text())
    assert {"distsys/domains/protocol.py", "examples/time_delay"} <= set(named)
    for name in named:
        assert (ROOT / name).exists(), name


@pytest.mark.ray
@pytest.mark.slow
def test_every_command_of_the_guide_does_what_it_says(tmp_path: Path) -> None:
    tools, site, place = (tmp_path / name for name in ("tools", "site", "place"))
    for folder in (tools, site, place):
        folder.mkdir()
    for name, arguments in STAND_INS.items():
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (tools / name).chmod(0o755)
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    python_path = os.pathsep.join([str(site), str(ROOT)])
    own = {**os.environ, "PATH": path, "PYTHONPATH": python_path, "DISTSYS_TEST_SITE": str(site)}
    printed = []
    for language, text in steps():
        commands = [f'"{sys.executable}" - <<"END"\n{text}END'] if language == "python" else text.splitlines()
        for command in commands:
            done = subprocess.run(command, shell=True, cwd=place, env=own, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            printed.append(done.stdout)
    whole = "\n".join(printed)
    assert "14 of 14 promises kept" in whole
    assert "14 passed" in whole
    assert whole.count("better than every baseline") + whole.count("healthy") >= 3
    assert re.search(r"frequency_hz,decay_per_s\n(\d+\.\d+,\d+\.\d+\n){3}", whole)
