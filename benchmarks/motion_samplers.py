"""How many evaluations of the network a sample needs: CRPS against evaluations, for each sampler.

    python -m benchmarks.motion_samplers [--route envelope] [--seconds 120] [--records FOLDER ...] [--quakes]

One model is trained once; all samplers then draw from it with the same noise.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks.motion_routes import WAYS, train
from distsys.domains.ground_motion import GroundMotion
from distsys.domains.ground_motion.config import Config, Sampler
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.model.samplers import num_evaluations
from distsys.domains.ground_motion.score.evaluation import ensemble
from distsys.report.table import text_table

TRIED: tuple[tuple[Sampler, int], ...] = (
    ("heun", 18),
    ("heun", 9),
    ("heun", 6),
    ("dpmpp_2m", 35),
    ("dpmpp_2m", 18),
    ("dpmpp_2m", 12),
    ("dpmpp_2m", 8),
    ("dpmpp_2m", 5),
    ("euler", 35),
    ("euler", 18),
    ("euler", 12),
)
"""Sampler and noise levels; the first row, Heun with 35 evaluations, is what the others are compared with."""
_NAMES = {"envelope": "envelope EDM", "complement": "complement EDM, unet", "broadband": "broadband EDM, dit"}


def use(model: Committee, sampler: Sampler, steps: int) -> None:
    """Let every member sample this way."""
    for member in model.members:
        assert isinstance(member, Member)
        diffusion = member.config.diffusion.model_copy(update={"sampler": sampler, "steps": steps})
        member.config = member.config.model_copy(update={"diffusion": diffusion})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--route", choices=list(_NAMES), default="envelope", help="what is diffused")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU time of the training (default: 120)")
    parser.add_argument("--records", type=Path, nargs="*", default=[], help="files or folders (default: synthetic)")
    parser.add_argument("--quakes", action="store_true", help="also FEMA P-695")
    options = parser.parse_args()
    torch.set_num_threads(1)
    domain, way = GroundMotion(), WAYS[_NAMES[options.route]]
    records = [str(path) for path in options.records]
    data = {"records": records, "quakes": options.quakes, "on_fault": "leave_out", "test_samples": 20}
    config = Config.model_validate({"data": data, "model": way.model})
    bundle = domain.build_data(config, seed=0)
    torch.manual_seed(0)
    model = Committee(config, bundle.statistics)
    train(model.train(), bundle, rate=way.learning_rate, seconds=options.seconds)
    rows: list[list[object]] = []
    first: float | None = None
    for sampler, steps in TRIED:
        use(model, sampler, steps)
        with torch.no_grad():
            metrics = domain.evaluate(model.eval(), bundle.test).metrics
            before = time.process_time()
            count = ensemble(model, bundle.test.batches[0]).shape[:2].numel()
            cost_ms = 1e3 * (time.process_time() - before) / count
        first = metrics["crps"] if first is None else first
        more = 100.0 * (metrics["crps"] / first - 1.0)
        rows.append([sampler, num_evaluations(sampler, steps), metrics["crps"], f"{more:+.1f} %", cost_ms])
    print(text_table(["sampler", "evaluations", "CRPS", "against the first", "ms a sample"], rows))


if __name__ == "__main__":
    main()
