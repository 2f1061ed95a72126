"""Does a final training under strong weights end better than one under the weights of the search?

Trains the same configuration under both, with several seeds, and compares on the test set.
Run: python benchmarks/strong_weights.py --steps 3000 --seeds 3
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.trainings import train_all
from distsys.pipeline.experiment import load_experiment
from distsys.report.table import text_table

DOMAIN = "ris_localization"
METRICS = ("music_position_error_m", "music_success/snr10", "position_error_m")


def main() -> None:
    """Print one row a seed and phase, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="laptop")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        runs = [run for seed in range(options.seeds) for run in _pair(options, seed, Path(scratch))]
        found = train_all(runs)
    rows = [
        [f"seed {number // 2}, {('conservative', 'strong')[number % 2]}", *(_metric(one, name) for name in METRICS)]
        for number, one in enumerate(found)
    ]
    print(text_table([f"{options.steps} steps", *METRICS], rows))
    print("\n" + _verdict(found))


def _pair(options: argparse.Namespace, seed: int, out: Path) -> list[dict[str, Any]]:
    """The arguments of both trainings of one seed."""
    experiment = load_experiment(DOMAIN, root=out, preset=options.preset, searches=False)
    weak = {f"final.weights.{name}": item.at(1.0) for name, item in experiment.config.search.weights.items()}
    budget = {"final.steps": options.steps, "final.eval_every_steps": options.steps // 4, "data.test_scenes": 250}
    shared = {"config": DOMAIN, "preset": options.preset, "seed": seed, "out": out}
    return [{**shared, "settings": {**budget, **weak}}, {**shared, "settings": budget}]


def _metric(found: dict[str, Any], name: str) -> float:
    return float(found["metrics"][name]) if found else float("nan")


def _verdict(found: list[dict[str, Any]]) -> str:
    """The mean paired difference of the selection metric with its standard error."""
    pairs = list(zip(found[0::2], found[1::2], strict=True))
    gains = [_metric(weak, METRICS[0]) - _metric(strong, METRICS[0]) for weak, strong in pairs]
    mean, error = statistics.mean(gains), statistics.stdev(gains) / len(gains) ** 0.5
    word = "better" if mean > 2 * error else "worse" if mean < -2 * error else "neither better nor worse"
    figures = f"lower by {mean:.4f} m (standard error {error:.4f}, {len(gains)} seeds)"
    return f"strong weights end {word}: {METRICS[0]} {figures}"


if __name__ == "__main__":
    main()
