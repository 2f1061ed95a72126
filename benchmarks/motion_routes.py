"""What each route to ground motion is worth at equal training time, beside rows that need no network.

    python -m benchmarks.motion_routes [--seconds 120] [--records FOLDER ...] [--quakes]

Every route trains for the same CPU time of one thread on the same folds; the last columns say what sampling costs.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from distsys.domains.ground_motion import GroundMotion
from distsys.domains.ground_motion.config import Config
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.score.evaluation import ensemble
from distsys.domains.protocol import DataBundle
from distsys.report.table import text_table

BATCH = 64
ENVELOPE_WEIGHT = 0.5
COLUMNS = {
    "hf_envelope_correlation": "env. corr",
    "hf_envelope_correlation_single": "single",
    "crps_envelope": "env. CRPS",
    "crps_ln_im": "IM CRPS",
    "coverage/envelope": "env. cov",
    "coverage/pga": "PGA cov",
    "seed_to_seed": "seeds",
}


@dataclass(frozen=True)
class Way:
    """One row: settings of the model, and the learning rate that suits it."""

    model: Mapping[str, object]
    learning_rate: float


WAYS = {
    "gaussian": Way({"route": "gaussian"}, 3e-3),
    "ensemble": Way({"route": "ensemble"}, 3e-3),
    "envelope EDM": Way({"route": "envelope"}, 3e-3),
    "complement EDM, unet": Way({"route": "complement"}, 2e-3),
    "complement EDM, dit": Way({"route": "complement", "diffusion": {"network": "dit"}, "blocks": 4}, 1e-3),
    "broadband EDM, dit": Way({"route": "broadband", "diffusion": {"network": "dit"}, "blocks": 4}, 1e-3),
    "broadband EDM, dit 0.7/0.3": Way(
        {"route": "broadband", "diffusion": {"network": "dit", "fixed_blend": True}, "blocks": 4}, 1e-3
    ),
}


def train(model: Committee, bundle: DataBundle, *, rate: float, seconds: float) -> int:
    """Train for ``seconds`` of CPU time, the learning rate falling along a cosine; gives the number of steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2, fused=True)
    generator = torch.Generator().manual_seed(0)
    domain, begin, step = GroundMotion(), time.process_time(), 0
    while (share := (time.process_time() - begin) / seconds) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, share / 0.05 + 0.01) * 0.5 * (1.0 + math.cos(math.pi * share))
        batch = bundle.train.batch(range(step * BATCH, (step + 1) * BATCH), progress=min(1.0, share))
        outputs = domain.forward(model, batch, generator=generator)
        terms = domain.loss_terms(outputs, batch, config=model.config)
        (terms["fit"] + ENVELOPE_WEIGHT * terms["envelope"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    return step


def row(name: str, way: Way, data: Mapping[str, object], *, seconds: float) -> tuple[list[object], DataBundle]:
    """Trained, evaluated on all folds, with steps and the CPU time of one sample."""
    domain = GroundMotion()
    config = Config.model_validate({"data": data, "model": way.model})
    bundle = domain.build_data(config, seed=0)
    torch.manual_seed(0)
    model = Committee(config, bundle.statistics)
    steps = train(model.train(), bundle, rate=way.learning_rate, seconds=seconds)
    with torch.no_grad():
        metrics = domain.evaluate(model.eval(), bundle.test).metrics
        before = time.process_time()
        count = ensemble(model, bundle.test.batches[0]).shape[:2].numel()
        cost_ms = 1e3 * (time.process_time() - before) / count
    return [name, *(metrics[column] for column in COLUMNS), steps, cost_ms], bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU time of each training (default: 120)")
    parser.add_argument("--records", type=Path, nargs="*", default=[], help="files or folders (default: synthetic)")
    parser.add_argument("--quakes", action="store_true", help="also FEMA P-695")
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS), help="some of the routes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = {
        "records": [str(path) for path in options.records],
        "quakes": options.quakes,
        "on_fault": "leave_out",
        "test_samples": 20,
    }
    rows: list[list[object]] = []
    for name in options.only:
        found, bundle = row(name, WAYS[name], data, seconds=options.seconds)
        rows.append(found)
        print(f"{name}: done", flush=True)
    config = Config.model_validate({"data": data})
    for name, baseline in GroundMotion().baselines(config, bundle, bundle.test).items():
        rows.append([name, *(baseline.metrics.get(column, math.nan) for column in COLUMNS), "-", math.nan])
    print(text_table(["route", *COLUMNS.values(), "steps", "ms a sample"], rows, width=120))


if __name__ == "__main__":
    main()
