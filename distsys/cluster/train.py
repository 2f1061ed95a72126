"""The Ray Train edge: one run on several workers, the same loop as everywhere."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from distsys.cluster.away import Away
from distsys.cluster.nodes import cluster_nodes, processes_that_fit
from distsys.cluster.session import carried_out, joins_cluster, wants_gpu
from distsys.cluster.sharing import Shared
from distsys.cluster.stopping import ask_to_stop, forget_stop, stops_when_asked
from distsys.domains.registry import get_domain
from distsys.errors import DistsysError, Interrupted, RunFailed
from distsys.files import clear_partial
from distsys.health.verdict import Verdict
from distsys.storage.place import SHARED, Place
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.context import FitContext
from distsys.training.evaluate import Validation
from distsys.training.interrupt import signals_noted
from distsys.training.loop import fit
from distsys.training.spec import RunSpec
from distsys.training.stuck import stuck_ends, take_stuck
from distsys.training.team import Team
from distsys.training.workers import Workers

_RESTARTS = 2
"""Times that a dead worker group is started again, from the last checkpoint."""


def fit_on_workers(
    spec: RunSpec, *, folder: Path, record: RunRecord, team: Team, device: str, place: Place = SHARED
) -> None:
    """Train ``spec`` on the workers of ``team``; checkpoints, metrics and outcome are kept in ``place`` as ``folder``.

    Raises:
        RunFailed: the workers died or were stuck too often, or could not be started.
        Interrupted: a signal was noted.
        DistsysError: what the loop itself objected to.
    """
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)  # what fails is told by us
    use_gpu = wants_gpu(device)
    _require_room(team, use_gpu=use_gpu)
    trainer = TorchTrainer(
        _work,
        train_loop_config={
            "spec": spec.content(),
            "folder": str(folder),
            "record": vars(record),
            "shared": Shared(),
            "place": place,
        },
        scaling_config=ScalingConfig(
            num_workers=(team.fewest, team.most) if team.is_elastic else team.most,
            use_gpu=use_gpu,
            label_selector=dict(team.labels) or None,
        ),
        run_config=RunConfig(
            # A reused name would make Ray resume; resuming is our checkpoints' business.
            name=f"{folder.name}-{os.getpid()}",
            storage_path=str(folder / ".ray"),
            failure_config=FailureConfig(max_failures=_RESTARTS),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    forget_stop(folder)
    try:
        with signals_noted():
            result = carried_out(
                trainer.fit,
                stop=lambda number: ask_to_stop(folder, number),
                kept=f"the run goes on from its last checkpoint in {folder}",
            )
    except ray.train.TrainingFailedError as error:
        place.look(folder)
        raise _failed(error, folder, team) from error
    finally:
        shutil.rmtree(folder / ".ray", ignore_errors=True)
        clear_partial(folder)  # of workers that died while they wrote
    _raise_again(result.return_value)


def _require_room(team: Team, *, use_gpu: bool) -> None:
    """Raises RunFailed where a cluster of our own, which does not grow, can never hold the workers."""
    nodes = [node for node in cluster_nodes() if node.has(team.labels)]
    there = processes_that_fit(nodes, cpus=1, gpus=1.0 if use_gpu else 0.0)
    if there < team.fewest and not joins_cluster():
        what = "GPU" if use_gpu else "CPU"
        where = f" on nodes labelled {team.labels_text}" if team.labels else ""
        fix = f"--workers {there}" if there else "no --label"
        raise RunFailed(
            f"{team.fewest} workers need a {what} each{where}, and there are {there}",
            expected=f"at most {there} workers",
            fix=f"{fix}, or a cluster that has more",
        )


def _failed(error: Exception, folder: Path, team: Team) -> RunFailed:
    if stuck := take_stuck(folder):
        fix = "mend what it waited for; artifacts/stuck.txt in the run's folder holds the stack"
        return RunFailed(f"training on {team} workers was stuck: {stuck}", fix=fix)
    said = " ".join(str(error).split())[:400]
    return RunFailed(f"training on {team} workers failed: {said}", fix="the same command resumes")


def _work(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """One worker's part; an error of the user's travels back as plain values."""
    try:
        domain = get_domain(config["spec"]["config"]["domain"])
        place = ray.train.get_context()
        workers = Workers(get_device(), place.get_world_rank(), place.get_world_size())
        folder = Path(config["folder"])
        away = Away(config["place"], folder)
        tracker = Spool.open(away.folder, RunRecord(**config["record"])) if workers.is_first else None
        spec = away.own(RunSpec.from_content(config["spec"], domain))
        config["shared"].take_over()

        def report(found: Validation) -> None:
            if workers.is_first:
                away.try_push()
            ray.train.report({"step": found.step})

        context = FitContext(spec, domain, away.folder, workers, tracker, report)
        with stuck_ends(away.end_stuck), stops_when_asked(folder) if workers.is_first else nullcontext():
            _fit(context, away)
    except DistsysError as error:
        return {"kind": type(error).__name__, **error.content()}
    return None


def _fit(context: FitContext, away: Away) -> None:
    """Whatever ends it, what the first worker has made is kept."""
    try:
        fit(context)
    finally:
        away.end() if context.workers.is_first else away.leave()


def _raise_again(failure: Mapping[str, Any] | None) -> None:
    if failure is None:
        return
    assert failure["kind"] != Interrupted.__name__, "workers are interrupted by their driver, which raises by itself"
    kinds = {kind.__name__: kind for kind in DistsysError.__subclasses__()}
    kind = kinds.get(failure["kind"], RunFailed)
    more = {"verdicts": Verdict.read_all(failure["verdicts"])} if "verdicts" in failure else {}
    raise kind(failure["found"], expected=failure["expected"], fix=failure["fix"], **more)
