"""Our training step beside a bare PyTorch loop with the same model, data, optimiser and clipping.

Blocks of both alternate in one process, so that a noisy machine disturbs them alike. Ours includes what the
loop adds to a step: seeding, schedules, the finite check, counting, and a line to the spool every five steps.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.bare_loop import bare_loop
from distsys.pipeline.experiment import load_experiment
from distsys.report.table import text_table
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.context import FitContext
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

BLOCKS, STEPS = 80, 5


def main() -> None:
    """Measure every preset that a laptop runs and print one row each."""
    rows = [_measure(preset) for preset in ("demo", "laptop")]
    print(text_table(["preset", "bare ms", "ours ms", "ratio wall", "ratio CPU"], rows))


def _measure(preset: str) -> list[object]:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        experiment = load_experiment("semantic_eq", root=root, preset=preset, searches=False)
        spec = RunSpec(experiment.config, "final")
        spool = Spool.open(root / "run", RunRecord("train", "benchmark", None, {}, {}))
        run = Run(FitContext(spec, experiment.domain, root / "run", Workers(pick_device("cpu")), spool))
        size = experiment.config.batch_size
        step = bare_loop(
            run, spec, lambda number: run.data.train.batch(range(number * size, (number + 1) * size), progress=0.0)
        )

        def bare() -> None:
            for _ in range(STEPS):
                step()

        def ours() -> None:
            for _ in range(STEPS):
                run._train_one()
            spool.log(run._stepper.readings(), step=run.step)

        bare()
        ours()
        pairs = [_pair(bare, ours, first=turn % 2) for turn in range(BLOCKS)]
    wall = statistics.median(our[0] / base[0] for base, our in pairs)
    cpu = statistics.median(our[1] / base[1] for base, our in pairs)
    shown = [1e3 * statistics.median(pair[side][0] for pair in pairs) / STEPS for side in (0, 1)]
    return [preset, *shown, wall, cpu]


def _pair(bare: Callable[[], None], ours: Callable[[], None], *, first: int) -> tuple[tuple[float, float], ...]:
    """Both blocks, one right after the other, in turned order every second time."""
    if first:
        ours_s = _timed(ours)
        return _timed(bare), ours_s
    return _timed(bare), _timed(ours)


def _timed(block: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    block()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
