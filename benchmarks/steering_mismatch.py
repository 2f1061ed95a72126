"""What a network learns from a simplified wave is worth when exact waves arrive: a report.

Trains on exact, Fresnel and paraxial scenes and tests each on exact ones; loss and inference assume what was
trained on. Run: python benchmarks/steering_mismatch.py --out steering_mismatch.html
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, get_args

from matplotlib.figure import Figure

from benchmarks.trainings import train_all
from distsys.domains.ris_localization.config import DataConfig, SteeringModel
from distsys.domains.ris_localization.data.geometry import surface_of
from distsys.domains.ris_localization.score.mismatch import steering_bias
from distsys.report.page import Page
from distsys.report.table import text_table

METRICS = (
    "music_success/snr20",
    "success/snr20",
    "phi_median_deg/snr20",
    "range_median_m/snr20",
    "crb_ratio/snr20",
    "success/range_0_2m",
    "success/range_5m_up",
)
# The constraints of the domain would refuse what this study is about.
TOLERANT = {"constraints": {"success_over_raw_music": {"min": -1.0}, "eigenvalue_ratio": {"min": 0.0}}}


def main() -> None:
    """Train, print the table, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=Path("steering_mismatch.html"))
    options = parser.parse_args()
    models: tuple[SteeringModel, ...] = get_args(SteeringModel)
    with tempfile.TemporaryDirectory() as scratch:
        found = train_all([_run(model, options.steps, Path(scratch)) for model in models])
    rows = [
        [model, *(one.get("metrics", {}).get(name) for name in METRICS)]
        for model, one in zip(models, found, strict=True)
    ]
    for start in range(0, len(METRICS), 3):
        columns = METRICS[start : start + 3]
        print(text_table(["assumed wave", *columns], [[row[0], *row[1 + start : 4 + start]] for row in rows]) + "\n")
    print(f"report: {_report(rows, options.steps, options.out)}")


def _run(model: SteeringModel, steps: int, out: Path) -> dict[str, Any]:
    budget = {"final.steps": steps, "final.eval_every_steps": steps // 3, "data.test_scenes": 250}
    return {
        "config": "ris_localization",
        "preset": "laptop",
        "settings": {**budget, "data.steering": model, "data.world": "exact", **TOLERANT},
        "out": out,
    }


def _report(rows: list[list[Any]], steps: int, path: Path) -> Path:
    page = Page(
        "Near-field localisation: the assumed wave against the exact one",
        f"8x8 elements, two coherent sources, {steps} training steps on the assumed wave, tested on exact waves",
    )
    page.heading("Trained on one wave, tested on exact ones")
    page.table(["assumed wave", *METRICS], rows)
    page.text("Metrics without 'music_' are of maximum likelihood under the assumed wave, started from the network.")
    page.heading("Bias without noise and without a network")
    page.figure("Median error of one source, maximum likelihood", _bias_figure())
    return page.write(path)


def _bias_figure() -> Figure:
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for index, label in enumerate(("angle error, deg", "range error, m")):
        axes = figure.add_subplot(1, 2, index + 1)
        for model in ("fresnel", "paraxial"):
            ranges_m, errors = steering_bias(surface_of(DataConfig()), model)
            axes.plot(ranges_m.numpy(), errors[:, index].numpy(), marker=".", label=model)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("true range, m")
        axes.set_ylabel(f"median {label}")
        axes.grid(alpha=0.25)
    figure.axes[0].legend()
    return figure


if __name__ == "__main__":
    main()
