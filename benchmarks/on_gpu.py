"""What a GPU makes of distsys: every domain's ``gpu`` preset beside a bare loop, several trials on one card, parity.

It needs torch and no Ray. ``--device cpu --preset demo`` tries the same here, in small.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.bare_loop import bare_loop
from distsys.domains.protocol import Batch
from distsys.pipeline.experiment import load_experiment
from distsys.report.table import text_table
from distsys.training.context import FitContext
from distsys.training.loop import Run
from distsys.training.spec import Phase, RunSpec
from distsys.training.workers import Workers, pick_device

DOMAINS = ("ground_motion", "ris_localization", "semantic_eq", "speaker_extraction")
PRECISIONS = ("float32", "bfloat16")
BLOCKS, STEPS = 7, 10
WARM_UP = 70
"""More than the steps in which the host waits for each, after the first."""
TRIALS = (1, 4, 8)
TRIAL_STEPS = 200


def main() -> None:
    """Print the tables asked for; ``--json`` keeps their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default="gpu")
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--trial", nargs=2, metavar=("DOMAIN", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        _trial(options, *options.trial)
        return
    print(torch.cuda.get_device_name(0) if options.device == "cuda" else "CPU", torch.__version__, flush=True)
    found: dict[str, list[list[object]]] = {}
    for part in options.parts:
        header, rows = PARTS[part]
        found[part] = []
        for row in rows(options):
            found[part].append(row)
            print(part, *(f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row), flush=True)
            if options.json:
                options.json.write_text(json.dumps(found))
        print(text_table(header, found[part]), flush=True)


def _run(
    options: argparse.Namespace, name: str, root: Path, *given: str, phase: Phase = "final"
) -> tuple[Run, RunSpec]:
    overrides = [f"device={options.device}", *given]
    experiment = load_experiment(name, root=root, preset=options.preset, searches=False, overrides=overrides)
    spec = RunSpec(experiment.config, phase)
    workers = Workers(pick_device(options.device))
    folder = Path(tempfile.mkdtemp(dir=root))
    return Run(FitContext(spec, experiment.domain, folder, workers, None)), spec


def _wait(options: argparse.Namespace) -> None:
    if options.device == "cuda":
        torch.cuda.synchronize()


def _steps(options: argparse.Namespace) -> Iterator[list[object]]:
    """Milliseconds a step, device work only: both take the same batch, which lies on the device."""
    for name in options.domains:
        for precision in PRECISIONS:
            with tempfile.TemporaryDirectory() as scratch:
                yield [name, precision, *_step_times(options, name, precision, Path(scratch))]


def _step_times(options: argparse.Namespace, name: str, precision: str, root: Path) -> list[object]:
    run, spec = _run(options, name, root, f"precision={precision}", "feeding={workers: 0}")
    device = run._workers.device
    _wait(options)
    began = time.perf_counter()
    batch = run._feeder.batches(0)[0]
    _wait(options)
    made_ms = 1e3 * (time.perf_counter() - began)
    bare_step = bare_loop(run, spec, lambda _: batch, device)
    _keep_to(run, batch)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    base, own, ratio = _paired(options, run, bare_step, run._train_one)
    gib = torch.cuda.max_memory_allocated() / 2**30 if options.device == "cuda" else float("nan")
    return [spec.config.batch_size, made_ms, base, own, ratio, gib]


def _keep_to(run: Run, batch: Batch) -> None:
    def batches(step: int) -> list[Batch]:
        return [batch]

    run._feeder.batches = batches  # type: ignore[method-assign]


def _paired(
    options: argparse.Namespace, run: Run, one: Callable[[], object], other: Callable[[], object]
) -> tuple[float, float, float]:
    """Milliseconds of a step of both, and the median ratio of neighbouring blocks."""

    def block(step: Callable[[], object]) -> Callable[[], None]:
        def steps() -> None:
            for _ in range(STEPS):
                step()
            run._stepper.settle()
            _wait(options)

        return steps

    first, second = block(one), block(other)
    for _ in range(WARM_UP // STEPS if options.device == "cuda" else 1):
        second()
    first()
    pairs = [(_seconds(first), _seconds(second)) if turn % 2 else _swapped(second, first) for turn in range(BLOCKS)]
    ratio = statistics.median(later / earlier for earlier, later in pairs)
    base, own = (1e3 * statistics.median(pair[side] for pair in pairs) / STEPS for side in (0, 1))
    return base, own, ratio


def _compiled(options: argparse.Namespace) -> Iterator[list[object]]:
    """Milliseconds a step as it comes, compiled, and compiled into CUDA graphs; how far their weights are apart."""
    for name in options.domains:
        for mode in ("true", "graphs"):
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    yield [name, mode, *_compiled_times(options, name, mode, Path(scratch))]
                except Exception as error:
                    print(name, mode, type(error).__name__, str(error)[:600])


def _compiled_times(options: argparse.Namespace, name: str, mode: str, root: Path) -> list[object]:
    given = [("feeding={workers: 0}", f"compile={how}") for how in ("false", mode)]
    runs = usual, fast = [_run(options, name, root, *settings)[0] for settings in given]
    began = time.perf_counter()
    for run in runs:
        _keep_to(run, run._feeder.batches(0)[0])
    for _ in range(6):
        usual._train_one()
        fast._train_one()
    first_s = time.perf_counter() - began
    apart = _apart(*([item.detach().double() for item in run._stepper.model.parameters()] for run in runs))
    base, own, ratio = _paired(options, fast, usual._train_one, fast._train_one)
    return [first_s, base, own, ratio, apart]


def _swapped(ours: Callable[[], None], bare: Callable[[], None]) -> tuple[float, float]:
    own = _seconds(ours)
    return _seconds(bare), own


def _seconds(block: Callable[[], None]) -> float:
    began = time.perf_counter()
    block()
    return time.perf_counter() - began


def _trained(options: argparse.Namespace) -> Iterator[list[object]]:
    """A real training with its data: steps a second and where their time goes, batches made by threads."""
    for name in options.domains:
        for threads in (0, 8):
            with tempfile.TemporaryDirectory() as scratch:
                given = [f"feeding={{workers: {threads}, ahead: {max(2, 2 * threads)}}}", "health.on=true"]
                run, _ = _run(options, name, Path(scratch), *given)
                yield [name, threads, *_pace(run, options)]


def _pace(run: Run, options: argparse.Namespace) -> list[object]:
    losses = []
    with run._feeder.ahead():
        for count in (WARM_UP if options.device == "cuda" else 2, 60 if options.device == "cuda" else 4):
            run._clock.begin()
            for _ in range(count):
                run._train_one()
            run._stepper.settle()
            _wait(options)
            found = run._clock.readings()
            losses.append(run._stepper.readings()["train_loss"])
    parts = [1e3 * found[f"time/{part}"] for part in ("data", "forward", "backward", "optimizer", "wait")]
    return [found["steps_per_s"], *parts, *losses, run._monitor.is_sick]


def _shared(options: argparse.Namespace) -> Iterator[list[object]]:
    """Trials an hour by how many run on the card at once, each a process of its own, trained by the laptop's sizes."""
    for name in options.domains:
        alone = 0.0
        for count in TRIALS:
            seconds = _together(options, name, count)
            an_hour = 3600.0 * count / statistics.median(seconds)
            alone = alone or an_hour
            yield [name, count, statistics.median(seconds), an_hour, an_hour / alone]


def _together(options: argparse.Namespace, name: str, count: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.on_gpu", "--device", options.device, "--preset", "laptop"]
    with tempfile.TemporaryDirectory() as scratch:
        children = [
            subprocess.Popen(
                [*command, "--trial", name, scratch], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]
        for child in children:
            assert child.stdout and child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin
            child.stdin.write("go\n")
            child.stdin.flush()
        return [float(child.communicate()[0]) for child in children]


def _trial(options: argparse.Namespace, name: str, folder: str) -> None:
    run, _ = _run(options, name, Path(folder), phase="search")
    for _ in range(WARM_UP if options.device == "cuda" else 2):
        run._train_one()
    _wait(options)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for _ in range(TRIAL_STEPS if options.device == "cuda" else 10):
        run._train_one()
    run._stepper.settle()
    _wait(options)
    print(time.perf_counter() - began, flush=True)


def _parity(options: argparse.Namespace) -> Iterator[list[object]]:
    """Largest relative difference of the weights after steps by the same route again, and with a host that waits."""
    for name in options.domains:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            usual = _weights_after(options, name, root)
            again = _weights_after(options, name, root)
            waited = _weights_after(options, name, root, waits=True)
            yield [name, *(_apart(usual, other) for other in (again, waited))]


def _weights_after(
    options: argparse.Namespace, name: str, root: Path, *given: str, waits: bool = False
) -> list[Tensor]:
    run, _ = _run(options, name, root, "batch_size=64", *given)
    if waits:
        run._stepper._runs_ahead = False
    for _ in range(20):
        run._train_one()
    run._stepper.settle()
    return [item.detach().double().cpu() for item in run._stepper.model.parameters()]


def _apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    size = torch.stack([item.norm() for item in one]).norm()
    return float(torch.stack([(item - found).norm() for item, found in zip(one, other, strict=True)]).norm() / size)


PARTS = {
    "steps": (["domain", "precision", "batch", "batch made ms", "bare ms", "ours ms", "ratio", "GiB"], _steps),
    "trained": (
        ["domain", "threads", "steps/s", "data", "forward", "backward", "optimizer", "wait", "loss", "later", "sick"],
        _trained,
    ),
    "shared": (["domain", "trials", "s", "trials/hour", "beside one"], _shared),
    "parity": (["domain", "again", "host waits"], _parity),
    "compiled": (["domain", "mode", "first s", "plain ms", "compiled ms", "ratio", "apart"], _compiled),
}


if __name__ == "__main__":
    main()
