"""Whether another commit gives the same numbers to the bit: ``python -m benchmarks.same_numbers COMMIT``.

Each domain is trained for a few steps and evaluated, by the code of COMMIT and by the code that stands here, both
through the command line. Compared are every logged metric, term, weight and gradient share, the training losses, the
test metrics and all baselines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.other_code import ROOT, tree_of
from distsys.files import number_or_nan
from distsys.report.table import text_table
from distsys.training.clock import is_timing

COMMON = ("batch_size=32", "final.steps=20", "final.eval_every_steps=2")
LONGER = ("final.steps=160", "final.eval_every_steps=20")
"""Where twenty steps lose to a constant answer: such a checkpoint may not be chosen any more."""
SETTINGS: Mapping[str, tuple[str, ...]] = {  # bands wide enough that twenty steps end healthy, and are evaluated
    "ground_motion": (
        "data.synthetic_events=12",
        "data.synthetic_stations=1",
        "model.channels=8",
        "model.blocks=2",
        "constraints={coverage_lowest: {min: -1.0}, coverage_highest: {max: 2.0}, shuffle_loss: {min: -1.0}}",
    ),
    "ris_localization": (
        *LONGER,
        "data.num_x=4",
        "data.num_y=4",
        "data.validation_scenes=20",
        "data.test_scenes=20",
        "constraints={success_over_raw_music: {min: -1.0}}",  # an unhealthy end would never see the test set
    ),
    "semantic_eq": (*LONGER, "data.num_synthetic=600", "data.held_out_rows=60"),
    "speaker_extraction": (
        "data.synthetic_speakers=12",
        "data.synthetic_s=4.0",
        "data.mixture_s=0.5",
        "data.enrolment_s=0.5",
        "data.validation_items=20",
        "data.test_items=20",
        "model.width=8",
        "model.hidden=6",
        "model.mask_hidden=12",
        "constraints={rms_ratio: {min: 0.0}, ta_attenuation_db: {min: -100.0}}",
    ),
}


def numbers(tree: Path, domain: str) -> dict[str, float]:
    """Every number of one short training by the code in ``tree``, by a name that says where it stands."""
    with tempfile.TemporaryDirectory() as out:
        sets = [word for setting in (*COMMON, *SETTINGS[domain]) for word in ("--set", setting)]
        command = [sys.executable, "-m", "distsys.cli", "train", domain, "--local", "--preset", "demo", *sets]
        own = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, "--out", out, "--json"], cwd=tree, env=own, capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, 3):
            raise SystemExit(f"{domain} in {tree}: exit code {done.returncode}\n{done.stderr}")
        (logged,) = Path(out).glob("*/metrics.jsonl")
        lines = [json.loads(line) for line in logged.read_text().splitlines()]
        evaluations = [json.loads(path.read_text()) for path in Path(out).glob("*/evaluation.json")]
    return {**dict(_logged(lines)), **dict(_assessed(evaluations))}


def _logged(lines: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    for line in lines:
        for name, value in line["metrics"].items():
            if not is_timing(name):
                yield f"step {line['step']}: {name}", value


def _assessed(evaluations: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    for found in evaluations:
        for name, value in found["metrics"].items():
            yield f"test: {name}", number_or_nan(value)
        for label, row in found["baselines"].items():
            for name, value in row.get("metrics", row).items():
                yield f"{label}: {name}", number_or_nan(value)


def differing(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Names of numbers that only one has, or that are not the same to the bit."""
    return sorted(
        name
        for name in before.keys() | after.keys()
        if repr(before.get(name, "absent")) != repr(after.get(name, "absent"))
    )


def main() -> int:
    """Print a line a domain, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="what to compare the code that stands here with")
    parser.add_argument("--domain", action="append", choices=sorted(SETTINGS), help="only this one; may be repeated")
    options = parser.parse_args()
    rows, lines = [], []
    with tree_of(options.commit) as tree:
        for domain in options.domain or sorted(SETTINGS):
            before, after = numbers(tree, domain), numbers(ROOT, domain)
            found = differing(before, after)
            tested = sum(name.startswith("test: ") for name in after)
            rows.append([domain, str(len(before)), str(len(after)), str(tested), str(len(found))])
            lines += [f"{domain}: {name}: {before.get(name)} -> {after.get(name)}" for name in found]
    print(
        text_table(["domain", f"numbers of {options.commit[:8]}", "numbers here", "of a test set", "differing"], rows)
    )
    print("\n".join(lines[:40]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
