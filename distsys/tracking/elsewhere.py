"""Run folders as other trackers read them: TensorBoard's event files, and offline runs of Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from distsys.errors import UsageError
from distsys.tracking.spool import RUN_FILE, RunRecord, read_metrics, read_record, read_status


def copied(experiment: Path, folder: Path, *, to: str) -> int:
    """Write every run of ``experiment``, a folder, into ``folder`` for the tracker called ``to``; gives their number.

    Raises:
        UsageError: ``folder`` holds something, or ``experiment`` no run.
        DamagedFile: a run's files cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"-o {folder}: is there already", expected="a folder to be made, or an empty one")
    runs = list(_runs(experiment))
    if not runs:
        raise UsageError(f"{experiment}: no run in it", expected="a folder of 'distsys run', 'search' or 'train'")
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        below = run.relative_to(experiment)
        name = "/".join([experiment.name, *below.parts])
        TRACKERS[to](run, read_record(run), folder, name)
    return len(runs)


def _runs(experiment: Path) -> Iterator[Path]:
    for path in sorted(experiment.rglob(RUN_FILE)):
        yield path.parent


def _to_tensorboard(run: Path, record: RunRecord, folder: Path, name: str) -> None:
    """A folder of event files a run, its config and verdict as texts."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder / name), write_to_disk=True) as writer:
        rows = [f"| {key} | {value} |" for key, value in sorted(record.params.items())]
        writer.add_text("config", "\n".join(["| key | value |", "|---|---|", *rows]))
        writer.add_text("state", _state(run))
        for line in read_metrics(run):
            for metric, value in line.metrics.items():
                writer.add_scalar(metric, value, line.step, walltime=line.time_ms / 1e3)


def _to_wandb(run: Path, record: RunRecord, folder: Path, name: str) -> None:
    """An offline run, which ``wandb sync`` sends."""
    import wandb

    settings = wandb.Settings(mode="offline", silent=True, console="off", disable_git=True, x_disable_stats=True)
    experiment, *_ = name.split("/")
    with wandb.init(
        dir=str(folder),
        project="distsys",
        group=experiment,
        job_type=record.kind,
        name=name,
        config=dict(record.params),
        notes=_state(run),
        settings=settings,
    ) as told:
        for line in read_metrics(run):
            told.log(dict(line.metrics), step=line.step)


def _state(run: Path) -> str:
    status = read_status(run)
    causes = [f"{item.status}: {item.cause}: {item.evidence}" for item in status.verdicts]
    return "; ".join([status.status, *([status.message] if status.message else []), *causes])


TRACKERS: dict[str, Callable[[Path, RunRecord, Path, str], None]] = {
    "tensorboard": _to_tensorboard,
    "wandb": _to_wandb,
}
"""By name: what writes a run for it."""
