"""How soon a trial starts that differs in searched keys alone: ``python -m benchmarks.second_trial COMMIT``.

For each domain at its laptop size, by the code of COMMIT and by the code that stands here: seconds to build the data
and the model of a first trial, then those of each further one, whose searched values are drawn anew; and what that
makes for all trials of the laptop search. ``--set`` (for a domain that is named) brings recordings in.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.other_code import ROOT, tree_of
from benchmarks.same_numbers import SETTINGS
from distsys.report.table import text_table

_PROBE = """
import json, random, sys, tempfile, time
from pathlib import Path
from distsys.config.validate import with_values
from distsys.pipeline.experiment import load_experiment
from distsys.training.context import FitContext
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

domain, overrides = sys.argv[1], sys.argv[2:]
experiment = load_experiment(domain, root=Path("."), preset="laptop", overrides=overrides)
random.seed(0)

def drawn(dimension):
    if dimension.choices is not None:
        return random.choice(dimension.choices)
    value = random.uniform(dimension.low, dimension.high)
    return round(value) if isinstance(dimension.low, int) and isinstance(dimension.high, int) else value

times = []
for trial in range(4):
    values = {path: drawn(item) for path, item in experiment.space.dimensions.items()}
    config = with_values(experiment.config, values)
    workers = Workers(pick_device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        Run(FitContext(RunSpec(config, "search"), experiment.domain, Path(folder), workers, None))
        times.append(time.perf_counter() - started)
print(json.dumps([times[0], sorted(times[1:])[1], experiment.config.search.trials]))
"""


def start_times_s(tree: Path, domain: str, overrides: Sequence[str]) -> tuple[float, float, int]:
    """Seconds of the first trial's start and of a further one's (median of three), and trials of the search."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _PROBE, domain, *overrides]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    first, further, trials = json.loads(done.stdout.splitlines()[-1])
    return first, further, trials


def main() -> None:
    """Print a line a domain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="what to compare the code that stands here with")
    parser.add_argument("--domain", action="append", choices=sorted(SETTINGS), help="only this one; may be repeated")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    rows = []
    with tree_of(options.commit) as tree:
        for domain in options.domain or sorted(SETTINGS):
            for name, place in ((options.commit[:8], tree), ("here", ROOT)):
                first, further, trials = start_times_s(place, domain, options.overrides)
                rows.append([domain, name, first, further, str(trials), first + (trials - 1) * further])
    print(text_table(["domain", "code", "first, s", "further, s", "trials", "all, s"], rows))


if __name__ == "__main__":
    main()
