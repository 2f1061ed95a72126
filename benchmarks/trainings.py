"""Several trainings side by side, by the command that users have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_COMMAND = (sys.executable, "-m", "distsys.cli", "train")
_HEALTHY, _SICK = 0, 3


def train(
    config: str, *, settings: Mapping[str, object], out: Path, preset: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """What ``distsys train CONFIG --local --json`` says of one training; empty when no checkpoint was healthy."""
    options = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    chosen = ["--preset", preset] if preset else []
    done = subprocess.run(
        [*_COMMAND, config, "--local", "--json", "--seed", str(seed), "--out", str(out), *chosen, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode not in (_HEALTHY, _SICK):
        print(done.stderr.strip(), file=sys.stderr)
        return {}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def train_all(runs: Sequence[Mapping[str, Any]], *, at_a_time: int = 2) -> list[dict[str, Any]]:
    """The results of ``runs`` (arguments of :func:`train`), in their order."""
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(lambda run: train(**run), runs))
