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

import torch

from distsys.domains.registry import get_domain
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
        bare = _bare_loop(run, spec)

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


def _bare_loop(run: Run, spec: RunSpec) -> Callable[[], None]:
    """What anyone would write by hand: fetch, forward, weighted sum, backward, clip, step."""
    domain, config = get_domain(spec.config.domain), spec.config
    model = domain.build_model(config, run.data.statistics)
    settings = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(0)
    weights = {term.name: spec.weights()[term.weight_name].at(1.0) for term in domain.terms}
    position = 0

    def block() -> None:
        nonlocal position
        for _ in range(STEPS):
            batch = run.data.train.batch(range(position, position + config.batch_size), progress=0.0)
            position += config.batch_size
            outputs = domain.forward(model, batch, generator=generator)
            terms = domain.loss_terms(outputs, batch, config=config)
            loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
            loss.backward()
            if settings.grad_clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return block


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
