"""What a second worker is worth where computing dominates: one worker, two by Ray Train, the same two by torchrun.

Each worker has one thread. Efficiency is the speed of two over twice the speed of one, on the same batch. Two trainings
on half the batch each that know nothing of each other show what the machine leaves of it. All take turns, and a row is
the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from distsys.report.table import text_table
from distsys.tracking.spool import read_metrics
from distsys.training.clock import SPEED

DOMAIN, PRESET = "speaker_extraction", "demo"
SETTINGS = (
    *("data.validation_items=20", "data.test_items=20", "device=cpu", "cpu_threads=1", "health.on=false"),
    *("final.steps=60", "final.eval_every_steps=15"),
)
BATCH = 16
_WORKER = """
import json, sys
from pathlib import Path
import torch.distributed as dist
from distsys.pipeline.experiment import load_experiment
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.context import FitContext
from distsys.training.loop import fit
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

dist.init_process_group("gloo")
folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
experiment = load_experiment(sys.argv[3], preset=sys.argv[4], root=folder, overrides=settings, searches=False)
workers = Workers(pick_device("cpu"), dist.get_rank(), dist.get_world_size())
tracker = Spool.open(folder, RunRecord("train", "torchrun", None, {}, {})) if workers.is_first else None
fit(FitContext(RunSpec(experiment.config, "final"), experiment.domain, folder, workers, tracker))
dist.destroy_process_group()
"""


def main() -> None:
    """Print steps a second and efficiency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    speeds: dict[str, list[float]] = {
        name: [] for name in ("one worker", "two, Ray Train", "two, torchrun", "two apart, half the batch each")
    }
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(options.rounds):
            out = Path(scratch) / str(turn)
            speeds["one worker"].append(_by_command(out / "one", 1))
            speeds["two, Ray Train"].append(_by_command(out / "ray", 2))
            speeds["two, torchrun"].append(_by_torchrun(out / "torchrun"))
            speeds["two apart, half the batch each"].append(_apart(out))
    one = speeds["one worker"]
    rows = []
    for name, values in speeds.items():
        efficiency = statistics.median(value / first for value, first in zip(values, one, strict=True))
        rows.append([name, statistics.median(values), efficiency / (1 if name == "one worker" else 2)])
    print(text_table([f"{DOMAIN}, {PRESET}, batch {BATCH}", "steps a s", "efficiency"], rows))
    pairs = zip(speeds["two, Ray Train"], speeds["two, torchrun"], strict=True)
    print(f"\nRay Train over torchrun: {statistics.median(ours / theirs for ours, theirs in pairs):.3f}")


def _apart(out: Path) -> float:
    """The slower of two."""
    with ThreadPoolExecutor(2) as pool:
        return min(pool.map(lambda name: _by_command(out / name, 1, batch=BATCH // 2), ("left", "right")))


def _by_command(out: Path, workers: int, *, batch: int = BATCH) -> float:
    settings = [f"--set={setting}" for setting in (*SETTINGS, f"batch_size={batch}")]
    command = [sys.executable, "-m", "distsys", "train", DOMAIN, "--preset", PRESET, "--out", str(out)]
    command += ["--local"] if workers == 1 else ["--workers", str(workers)]
    _run([*command, "--quiet", *settings])
    (folder,) = out.glob(f"{DOMAIN}-train-*")
    return _speed(folder)


def _by_torchrun(out: Path) -> float:
    out.mkdir(parents=True)
    (out / "worker.py").write_text(_WORKER)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    _run(
        [*run, str(out / "worker.py"), str(out / "run"), json.dumps([*SETTINGS, f"batch_size={BATCH}"]), DOMAIN, PRESET]
    )
    return _speed(out / "run")


def _run(command: list[str]) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode not in (0, 3):  # so short a training need not end healthy
        raise SystemExit(done.stderr)


def _speed(folder: Path) -> float:
    """Steps a second between validations, the median without the first."""
    return statistics.median(line.metrics[SPEED] for line in read_metrics(folder)[1:])


if __name__ == "__main__":
    main()
