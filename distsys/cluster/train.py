"""The Ray Train edge: one run on several workers, the same loop as everywhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from distsys.cluster.session import wants_gpu
from distsys.cluster.sharing import Shared
from distsys.domains.registry import get_domain
from distsys.errors import DistsysError, RunFailed
from distsys.health.verdict import Verdict
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.context import FitContext
from distsys.training.loop import fit
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers

_RESTARTS = 2
"""Times that a dead worker group is started again, from the last checkpoint."""


def fit_on_workers(spec: RunSpec, *, folder: Path, record: RunRecord, num_workers: int, device: str) -> None:
    """Train ``spec`` on ``num_workers`` workers; checkpoints, metrics and outcome go to ``folder``.

    ``folder`` must be on storage that every worker sees.

    Raises:
        RunFailed: the workers died too often, or could not be started.
        DistsysError: what the loop itself objected to.
    """
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    trainer = TorchTrainer(
        _work,
        train_loop_config={
            "spec": spec.content(),
            "folder": str(folder),
            "record": vars(record),
            "shared": Shared(),
        },
        scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=wants_gpu(device)),
        run_config=RunConfig(
            # A reused name would make Ray resume; resuming is our checkpoints' business.
            name=f"{folder.name}-{os.getpid()}",
            storage_path=str(folder / ".ray"),
            failure_config=FailureConfig(max_failures=_RESTARTS),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise RunFailed(f"training on {num_workers} workers failed: {error}") from error
    _raise_again(result.return_value)


def _work(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """One worker's part; an error of the user's travels back as plain values."""
    try:
        domain = get_domain(config["spec"]["config"]["domain"])
        place = ray.train.get_context()
        workers = Workers(get_device(), place.get_world_rank(), place.get_world_size())
        folder = Path(config["folder"])
        tracker = Spool.open(folder, RunRecord(**config["record"])) if workers.is_first else None
        spec = RunSpec.from_content(config["spec"], domain)
        config["shared"].take_over()
        fit(FitContext(spec, domain, folder, workers, tracker, lambda found: ray.train.report({"step": found.step})))
    except DistsysError as error:
        return {"kind": type(error).__name__, **error.content()}
    return None


def _raise_again(failure: Mapping[str, Any] | None) -> None:
    if failure is None:
        return
    kinds = {kind.__name__: kind for kind in DistsysError.__subclasses__()}
    kind = kinds.get(failure["kind"], RunFailed)
    more = {"verdicts": Verdict.read_all(failure["verdicts"])} if "verdicts" in failure else {}
    raise kind(failure["found"], expected=failure["expected"], fix=failure["fix"], **more)
