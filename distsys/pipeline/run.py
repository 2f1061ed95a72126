"""What each command does, step by step: search, handoff, final, evaluation, report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from distsys.config.validate import dump, with_values
from distsys.console import Console
from distsys.errors import UsageError
from distsys.pipeline.experiment import Experiment, flat_params, locked, noted_end, preflight
from distsys.pipeline.final import train
from distsys.pipeline.handoff import Handoff, run_handoff
from distsys.pipeline.report import write_report
from distsys.pipeline.search import SearchResult, open_study, read_search, run_search
from distsys.tracking.environment import environment_tags
from distsys.tracking.mlflow_store import MlflowMirror
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.assess import Assessment, Examined, examine
from distsys.training.data import built_data
from distsys.training.outcome import Outcome
from distsys.training.spec import RunSpec

_SHOWN_ERROR = 160
_SYNC_S = 20.0
"""How long the end of a command waits for a slow tracking store."""


@dataclass(frozen=True)
class RunResult:
    """What ``distsys run`` made."""

    assessment: Assessment
    report: Path


def run(experiment: Experiment, *, num_workers: int, console: Console) -> RunResult:
    """Search, handoff, final training, evaluation and report; what is done already is not done again.

    Raises:
        DistsysError: the config or data are wrong, or no trial or checkpoint is healthy.
    """
    with _prepared(experiment, console) as mirror:
        with _one_cluster(experiment):
            search = run_search(experiment, console=console, mirror=mirror)
            handoff = run_handoff(experiment, search, console=console, mirror=mirror)
        return _finish(experiment, search, handoff, num_workers, console, mirror)


def search(experiment: Experiment, *, console: Console) -> SearchResult:
    """The search phase alone."""
    with _prepared(experiment, console) as mirror:
        return run_search(experiment, console=console, mirror=mirror)


def final(experiment: Experiment, *, num_workers: int, console: Console) -> RunResult:
    """Handoff and final training of an experiment whose search is done.

    Raises:
        UsageError: its search has not ended.
    """
    if not (experiment.folder / "study.log").is_file():
        raise UsageError(
            f"{experiment.folder}: no search was run", fix="run 'distsys search' with the same options first"
        )
    with _prepared(experiment, console) as mirror:
        found = read_search(experiment)
        if missing := experiment.config.search.trials - len(found.rows):
            raise UsageError(
                f"{missing} of {experiment.config.search.trials} trials are missing", fix="run 'distsys search' again"
            )
        handoff = run_handoff(experiment, found, console=console, mirror=mirror)
        return _finish(experiment, found, handoff, num_workers, console, mirror)


def train_one(experiment: Experiment, *, num_workers: int, local: bool, console: Console) -> Assessment:
    """Train the config as it stands for the whole final budget, without a search.

    Args:
        local: in this process, without Ray and MLflow.
    """
    preflight(experiment)
    spec = RunSpec(experiment.config, "final")
    folder = experiment.root / f"{experiment.domain.name}-train-{spec.identity[:8]}"
    record = RunRecord("train", folder.name, None, flat_params(spec.config), _tags(experiment))
    with locked(folder), nullcontext() if local else _mirrored(experiment, console) as mirror:
        outcome = train(
            spec,
            experiment.domain,
            folder=folder,
            record=record,
            num_workers=num_workers,
            through_ray=not local,
            console=console,
            mirror=mirror,
        )
        return _examined(outcome, folder).assessment


@contextmanager
def _prepared(experiment: Experiment, console: Console) -> Iterator[MlflowMirror]:
    """Config and data tried, the folder locked, the parent run open, its end noted."""
    preflight(experiment)
    with locked(experiment.folder), _mirrored(experiment, console) as mirror:
        content = yaml.safe_dump(dump(experiment.config), sort_keys=False)
        spool = Spool.open(experiment.folder, experiment.record(_tags(experiment)))
        spool.artifact("config.yaml").write_text(content, encoding="utf-8")
        _keep_manifests(experiment, spool)
        for known in [experiment.folder, *_runs_in(experiment.folder)]:
            mirror.watch(known)
        with noted_end(spool):
            yield mirror


def _keep_manifests(experiment: Experiment, spool: Spool) -> None:
    """What the frozen sets are made of, item by item, beside the config."""
    bundle = built_data(experiment.domain, experiment.config)
    for name, frozen in {"validation": bundle.validation, "test": bundle.test}.items():
        if frozen.manifest:
            spool.artifact(f"{name}_items.jsonl").write_text("\n".join(frozen.manifest) + "\n", encoding="utf-8")


def _runs_in(folder: Path) -> list[Path]:
    """Runs of earlier commands: a store that was away then still lacks them."""
    return sorted(path.parent for path in folder.glob("*/*/run.json"))


@contextmanager
def _mirrored(experiment: Experiment, console: Console) -> Iterator[MlflowMirror]:
    with MlflowMirror(experiment.root, experiment.domain.name) as mirror:
        try:
            yield mirror
        finally:
            synced = mirror.close(timeout_s=_SYNC_S)
            if not synced.synced:
                console.say(f"tracking: {synced.pending} lines wait in the spool; the same command sends them")
                console.say(f"tracking: {synced.error[:_SHOWN_ERROR]}")


@contextmanager
def _one_cluster(experiment: Experiment) -> Iterator[None]:
    """One Ray session for search and handoff, none when both are done."""
    if Handoff.read(experiment.folder / "handoff.json") and open_study(experiment).remaining <= 0:
        yield
        return
    from distsys.cluster.session import ray_session

    with ray_session():
        yield


def _tags(experiment: Experiment) -> dict[str, str]:
    bundle = built_data(experiment.domain, experiment.config)
    data = {f"data.{key}": str(value) for key, value in bundle.provenance.items()}
    digests = {"data.validation_digest": bundle.validation.digest, "data.test_digest": bundle.test.digest}
    own = {"distsys.experiment": experiment.name, "distsys.preset": experiment.preset or ""}
    return {**environment_tags(Path(__file__).resolve().parents[2]), **data, **digests, **own}


def _finish(
    experiment: Experiment,
    search: SearchResult,
    handoff: Handoff,
    num_workers: int,
    console: Console,
    mirror: MlflowMirror,
) -> RunResult:
    outcome = _final_training(experiment, handoff, num_workers, console, mirror)
    examined = _examined(outcome, experiment.folder)
    found = examined.assessment
    report = write_report(experiment, search, handoff, outcome, examined)
    spool = Spool(experiment.folder)
    spool.log(found.metrics, step=0)
    for file in (report, experiment.folder / "evaluation.json"):
        spool.artifact(file.name).write_bytes(file.read_bytes())
    return RunResult(found, report)


def _final_training(
    experiment: Experiment, handoff: Handoff, num_workers: int, console: Console, mirror: MlflowMirror
) -> Outcome:
    chosen = handoff.chosen
    spec = RunSpec(with_values(experiment.config, chosen.params), "final")
    folder = experiment.folder / "final" / spec.identity[:8]
    tags = {"distsys.trial": str(chosen.trial), "distsys.phase": "final"}
    record = RunRecord("final", "final", str(experiment.folder), flat_params(spec.config), tags)
    console.say(f"final: trial {chosen.trial}, {spec.steps} steps, strong weights, workers: {num_workers}")
    outcome = train(
        spec,
        experiment.domain,
        folder=folder,
        record=record,
        num_workers=num_workers,
        through_ray=num_workers > 1 or _is_elsewhere(spec.config.device),
        console=console,
        mirror=mirror,
    )
    assert outcome.checkpoint is not None
    manifest = Spool(folder).artifact("manifest.json")
    manifest.write_bytes((outcome.checkpoint / "manifest.json").read_bytes())
    return outcome


def _is_elsewhere(device: str) -> bool:
    """Whether the device is a GPU that only the cluster's other machines have."""
    return device == "cuda" and not torch.cuda.is_available()


def _examined(outcome: Outcome, folder: Path) -> Examined:
    assert outcome.checkpoint is not None, "a run without a healthy checkpoint was refused before"
    examined = examine(outcome.checkpoint)
    examined.assessment.write(folder / "evaluation.json")
    return examined
