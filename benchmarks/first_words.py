"""How long a person waits for the first word: help, a typo, a held lock, and the first line of a run.

Medians over commands run in turns, beside an interpreter that does nothing.
"""

from __future__ import annotations

import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from distsys.files import lock
from distsys.pipeline.experiment import load_experiment
from distsys.report.table import text_table

TURNS = 7
_DISTSYS = [sys.executable, "-m", "distsys.cli"]


def main() -> None:
    """Print a row a question."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        folder = load_experiment("semantic_eq", root=out, preset="demo").folder
        folder.mkdir(parents=True)
        run = [*_DISTSYS, "run", "semantic_eq", "--preset", "demo", "--out", str(out)]
        kinds: dict[str, Callable[[], float]] = {
            "python -c pass": lambda: _ended([sys.executable, "-c", "pass"]),
            "distsys --help": lambda: _ended([*_DISTSYS, "--help"]),
            "a typo in --set": lambda: _ended([*run, "--set", "search.trails=3"]),
            "a lock that is held": lambda: _held(folder, run),
            "an --out that cannot be written": lambda: _ended([*run[:-1], "/proc/nowhere"]),
            "first line of a run": lambda: _first_line([*run, "--set", "seed=1"]),
        }
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(TURNS):
            for name, measured in kinds.items():
                found[name].append(measured())
    bare = statistics.median(found["python -c pass"])
    rows = [[name, statistics.median(times), statistics.median(times) - bare] for name, times in found.items()]
    print(text_table(["", "s", "beyond bare Python, s"], rows))


def _ended(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    return time.perf_counter() - began


def _held(folder: Path, command: list[str]) -> float:
    with lock(folder / ".lock"):
        return _ended(command)


def _first_line(command: list[str]) -> float:
    """Until something stands on a terminal; the run is then ended."""
    reader, writer = pty.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=writer, stderr=writer, start_new_session=True)
    os.read(reader, 1)
    passed = time.perf_counter() - began
    process.kill()
    process.wait()
    os.close(reader)
    os.close(writer)
    return passed


if __name__ == "__main__":
    main()
