"""What watching a run costs: ``python -m benchmarks.health_cost``, a row a domain.

Two runs of one config, watched and not, take turns in blocks of steps in one process, so that a noisy machine
disturbs them alike. A look costs the same wherever it falls, so blocks with a look and without are timed apart, and
their difference is spread over a run: the twelve early looks and one every ``health.every`` steps of the preset.
Validations are left out on both sides; each adds a look.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import permutations
from pathlib import Path

from distsys.domains.registry import get_domain
from distsys.health.monitor import DENSE
from distsys.pipeline.experiment import load_experiment
from distsys.report.table import text_table
from distsys.training.context import FitContext
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

DOMAINS = ("ground_motion", "ris_localization", "semantic_eq", "speaker_extraction")


def main() -> None:
    """Measure every domain's preset and print one row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domain", action="append", choices=DOMAINS, help="only this one; may be repeated")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--pairs", type=int, default=30, help="pairs of steps, one watched")
    options = parser.parse_args()
    rows = [_measured(name, options.preset, options.pairs) for name in options.domain or DOMAINS]
    headers = ["domain", "step ms", "look / step", "blind / off", "looks", "of steps", "cost %"]
    print(text_table(headers, rows))


def _measured(name: str, preset: str, pairs: int) -> list[object]:
    with tempfile.TemporaryDirectory() as scratch:
        looking, blind, off = (
            _run(name, preset, Path(scratch, kind), setting)
            for kind, setting in (("a", "health.every=1"), ("b", "health.every=1000000"), ("c", "health.on=false"))
        )
        blind.step = looking.step = off.step = 100  # beyond the early looks
        for run in (looking, blind, off):
            run._train_one()
        found = [_turn(looking, blind, off, turn) for turn in range(pairs)]
        steps, every = off._spec.steps, get_every(name, preset, Path(scratch, "d"))
    looked = statistics.median(one / last for one, _, last in found)
    unlooked = statistics.median(two / last for _, two, last in found)
    looks = len([step for step in DENSE if step <= steps]) + max(0, steps // every - max(DENSE) // every)
    cost = 100 * (unlooked - 1 + (looked - unlooked) * looks / steps)
    step_ms = 1e3 * statistics.median(last for _, _, last in found)
    return [f"{name} {preset}", step_ms, looked, unlooked, looks, steps, cost]


def cost_percent(name: str, *, preset: str = "demo", pairs: int = 30) -> float:
    """What the checks cost a run of a domain's preset."""
    cost = _measured(name, preset, pairs)[-1]
    assert isinstance(cost, float)
    return cost


def get_every(name: str, preset: str, root: Path) -> int:
    """Steps between looks, as the preset has it."""
    return int(load_experiment(name, root=root, preset=preset, searches=False).config.health.every)


def _run(name: str, preset: str, folder: Path, setting: str) -> Run:
    experiment = load_experiment(name, root=folder, preset=preset, searches=False, overrides=(setting,))
    spec = RunSpec(experiment.config, "final")
    return Run(FitContext(spec, get_domain(name), folder, Workers(pick_device("cpu")), None))


def _turn(looking: Run, blind: Run, off: Run, turn: int) -> tuple[float, float, float]:
    """Processor seconds of the same step of all three, in each of their orders in turn."""
    times = {}
    for run in list(permutations((looking, blind, off)))[turn % 6]:
        began = time.process_time()
        run._train_one()
        times[id(run)] = time.process_time() - began
    return times[id(looking)], times[id(blind)], times[id(off)]


if __name__ == "__main__":
    main()
