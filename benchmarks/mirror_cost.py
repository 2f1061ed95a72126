"""CPU time of one round of the MLflow mirror beside the number of trials: ``python -m benchmarks.mirror_cost``."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from distsys.tracking.mlflow_store import MlflowMirror
from distsys.tracking.spool import RunRecord, Spool

_COUNTS = (10, 100, 300, 1000)
_RUNNING = 2
"""Trials that go on, as many as two cores take."""
_ROUNDS = 20


def main() -> None:
    """Print a row a number of trials: a round without news, one with a line of each running trial, and all of them."""
    print("trials  nothing new, ms  news of 2, ms  all looked at, ms")
    for count in _COUNTS:
        with tempfile.TemporaryDirectory() as name:
            print("{:6d}  {:15.2f}  {:13.2f}  {:17.2f}".format(count, *_costs(Path(name), count)))


def _costs(root: Path, count: int) -> tuple[float, float, float]:
    mirror, running = MlflowMirror(root, "cost"), []
    for number in range(count):
        spool = Spool.open(root / f"trial-{number}", RunRecord("trial", f"trial-{number}", None, {}, {}))
        spool.log({"loss": 1.0, "mae": 2.0}, step=0)
        if number < count - _RUNNING:
            spool.finish("finished")
        else:
            running.append(spool)
        mirror.watch(spool.folder)
    mirror.push_news()
    quiet, busy = [], []
    for turn in range(1, _ROUNDS + 1):
        quiet.append(_cpu_ms(mirror))
        for spool in running:
            spool.log({"loss": 1.0, "mae": 2.0}, step=turn)
        busy.append(_cpu_ms(mirror))
    return statistics.median(quiet), statistics.median(busy), _cpu_ms(mirror, all_of_them=True)


def _cpu_ms(mirror: MlflowMirror, *, all_of_them: bool = False) -> float:
    began = time.process_time()
    mirror.push_news(all_of_them=all_of_them)
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    main()
