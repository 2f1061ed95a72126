"""What the study costs the driver of a search as trials add up: ``python -m benchmarks.study_cost COMMIT``.

Milliseconds of an ask, a report, a tell and a look at all rows, around the 10th, 100th and 1,000th trial (medians of
ten), by the code of COMMIT, by the code that stands here, and by bare Optuna on a journal of its own. Parameters are
drawn at random and nothing waits for the disk, so that neither the sampler nor fsync hides the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.other_code import ROOT, tree_of
from distsys.report.table import text_table

_PROBE = """
import json, os, statistics, sys, tempfile, time, warnings
from pathlib import Path
import optuna
from distsys.config.space import Dimension, SearchSpace
from distsys.domains.protocol import MetricSpec

os.fsync = lambda descriptor: None
warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
names, marks = [f"p{number}" for number in range(6)], (10, 100, 1000)
space = SearchSpace({name: Dimension(low=0.0, high=1.0) for name in names}, frozenset())
floats = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names}

class Ours:
    def __init__(self, path):
        from distsys.cluster.study import Study
        try:
            from distsys.cluster.rungs import RungPruner
        except ImportError:
            from distsys.cluster.study import RungPruner
        spec = MetricSpec("mae", "min", "V")
        pruner = RungPruner(first_step=10, reduction_factor=3, spec=spec)
        self.study = Study(path, space=space, spec=spec, seed=0, num_trials=2000, startup_trials=1, pruner=pruner)
        self.study._study.sampler = optuna.samplers.RandomSampler(seed=0)
    def ask(self):
        self.number, params = self.study.ask()
    def report(self):
        self.study.report(self.number, step=10, value=1.0, noise_floor=9.0)
    def tell(self):
        self.study.complete(self.number, value=1.0, violations={}, verdicts=[])
    def rows(self):
        self.study.rows()
        self.study.remaining

class Bare:
    def __init__(self, path):
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        storage = optuna.storages.JournalStorage(backend)
        self.study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    def ask(self):
        self.trial = self.study.ask(floats)
    def report(self):
        self.trial.report(1.0, 10)
    def tell(self):
        self.study.tell(self.trial, 1.0)
    def rows(self):
        self.study.get_trials(deepcopy=False)

found = {}
with tempfile.TemporaryDirectory() as folder:
    study = {"ours": Ours, "bare": Bare}[sys.argv[1]](Path(folder) / "study.log")
    times = {}
    for number in range(1, marks[-1] + 6):
        for name in ("ask", "report", "tell", "rows"):
            started = time.perf_counter()
            getattr(study, name)()
            times.setdefault(name, []).append(1e3 * (time.perf_counter() - started))
    for name, taken in times.items():
        found[name] = [statistics.median(taken[mark - 5 : mark + 5]) for mark in marks]
print(json.dumps(found))
"""


def costs_ms(tree: Path, whose: str) -> dict[str, list[float]]:
    """By operation, milliseconds around the 10th, 100th and 1,000th trial."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _PROBE, whose]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a line an operation and code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="what to compare the code that stands here with")
    options = parser.parse_args()
    with tree_of(options.commit) as tree:
        found = {
            options.commit[:8]: costs_ms(tree, "ours"),
            "here": costs_ms(ROOT, "ours"),
            "bare Optuna": costs_ms(ROOT, "bare"),
        }
    rows = [[name, code, *costs[name]] for name in found["here"] for code, costs in found.items()]
    print(text_table(["ms", "code", "10th trial", "100th", "1,000th"], rows))


if __name__ == "__main__":
    main()
