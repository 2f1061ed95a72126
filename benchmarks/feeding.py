"""Batches made ahead: how much of what threads can make reaches a step that costs nothing, and what a real step gains.

The first table puts the feeder beside its peer, the same number of threads that make the same batches with nobody
waiting for them in order. The second trains with and without threads. Blocks alternate, so that a noisy machine
disturbs both alike; a row is the median of its blocks.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from distsys.config.schema import FeedingConfig
from distsys.pipeline.experiment import load_experiment
from distsys.report.table import text_table
from distsys.training.context import FitContext
from distsys.training.feeding import Feeder
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

DOMAINS = ("ground_motion", "ris_localization", "semantic_eq", "speaker_extraction")
TRAINED = ("ris_localization", "speaker_extraction")
THREADS = (1, 2)
BLOCKS = 5
_BLOCK_S = 1.0
"""About so long a block lasts."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="laptop")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fed = [row for name in DOMAINS for row in _fed(_run(name, options.preset, Path(scratch), 0))]
        print(text_table(["domain", "threads", "made a s", "fed a s", "ratio"], fed))
        trained = [_trained(name, options.preset, Path(scratch)) for name in TRAINED]
        print(text_table(["domain", *(f"ms, {number} threads" for number in (0, *THREADS))], trained))


def _run(name: str, preset: str, root: Path, threads: int) -> Run:
    given = [f"feeding={{workers: {threads}, ahead: {max(2, 2 * threads)}}}", "device=cpu"]
    experiment = load_experiment(name, root=root, preset=preset, searches=False, overrides=given)
    spec = RunSpec(experiment.config, "final")
    return Run(FitContext(spec, experiment.domain, root / name / str(threads), Workers(pick_device("cpu")), None))


def _fed(run: Run) -> list[list[object]]:
    source, size = run.data.train, run._spec.config.batch_size
    count = _steps_of(lambda: source.batch(range(size), progress=0.0))
    rows: list[list[object]] = []
    for threads in THREADS:
        settings = FeedingConfig(workers=threads, ahead=2 * threads)
        feeder = Feeder(source, run._indices_of, steps=run._spec.steps, device=torch.device("cpu"), settings=settings)

        def makes(threads: int = threads) -> None:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(run._feeder._made, range(count)):
                    pass

        def feeds(feeder: Feeder = feeder) -> None:
            with feeder.ahead():
                for step in range(count):
                    feeder.batches(step)

        can, found = ([count / seconds for seconds in times] for times in _alternating([makes, feeds]))
        ratio = statistics.median(one / other for one, other in zip(found, can, strict=True))
        rows.append([run._domain.name, threads, statistics.median(can), statistics.median(found), ratio])
    return rows


def _trained(name: str, preset: str, root: Path) -> list[object]:
    runs = [_run(name, preset, root, threads) for threads in (0, *THREADS)]
    count = _steps_of(runs[0]._train_one)

    def trains(run: Run) -> Callable[[], None]:
        def block() -> None:
            with run._feeder.ahead():
                for _ in range(count):
                    run._train_one()

        return block

    times = _alternating([trains(run) for run in runs])
    return [name, *(1e3 * statistics.median(own) / count for own in times)]


def _steps_of(one: Callable[[], object]) -> int:
    one()
    began = time.perf_counter()
    one()
    return max(4, round(_BLOCK_S / (time.perf_counter() - began)))


def _alternating(blocks: Sequence[Callable[[], None]]) -> list[list[float]]:
    """Seconds of each block, over and over in changing order."""
    for block in blocks:
        block()
    found: list[list[float]] = [[] for _ in blocks]
    for turn in range(BLOCKS):
        for place in range(len(blocks)):
            which = (place + turn) % len(blocks)
            began = time.perf_counter()
            blocks[which]()
            found[which].append(time.perf_counter() - began)
    return found


if __name__ == "__main__":
    main()
