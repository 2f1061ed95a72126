"""What each command does, step by step: search, handoff, final, evaluation, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from distsys.config.validate import dump, with_values
from distsys.errors import CheckpointError, StoppedByHealth, UsageError
from distsys.files import full_disk_named
from distsys.pipeline.doctor import examined
from distsys.pipeline.earlier import take_earlier
from distsys.pipeline.experiment import Ending, Experiment, flat_params, locked, noted_end, preflight
from distsys.pipeline.final import all_verdicts, say_nearest, train
from distsys.pipeline.handoff import known_handoff, nearest_candidate, run_handoff
from distsys.pipeline.means import Means
from distsys.pipeline.nearest import nearest_text
from distsys.pipeline.on_disk import has_begun
from distsys.pipeline.ranking import Candidate, Handoff
from distsys.pipeline.reopened import CONFIG, SPACE
from distsys.pipeline.report_page import write_report
from distsys.pipeline.same_data import require_same_data
from distsys.pipeline.search import SearchResult, none_healthy, open_study, read_search, run_search
from distsys.pipeline.start import say_origin
from distsys.tracking.environment import environment_tags
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.assess import Assessment, Examined, examine
from distsys.training.data import built_data, frozen_sets, set_digests
from distsys.training.outcome import FILE as OUTCOME
from distsys.training.outcome import Outcome
from distsys.training.spec import RunSpec
from distsys.training.stamp import code_stamp
from distsys.training.team import Team


@dataclass(frozen=True)
class RunResult:
    """What ``distsys run`` made."""

    assessment: Assessment
    report: Path

    def to_pandas(self) -> Any:
        """The model beside every baseline, see :meth:`Assessment.to_pandas`."""
        return self.assessment.to_pandas()


def run(experiment: Experiment, means: Means) -> RunResult:
    """Search, handoff, final training, evaluation and report; what is done already is not done again.

    Raises:
        DistsysError: the config or data are wrong, or no trial or checkpoint is healthy.
    """
    with _prepared(experiment, means) as (means, ending):
        with _one_cluster(experiment, means):
            search = run_search(experiment, means)
            handoff = run_handoff(experiment, search, means)
        return _finish(experiment, search, handoff, means, ending)


def search(experiment: Experiment, means: Means) -> SearchResult:
    """The search phase alone.

    Raises:
        StoppedByHealth: no trial ended healthy.
    """
    with _prepared(experiment, means) as (means, _):
        found = run_search(experiment, means)
        if found.best is None:
            raise none_healthy(found)
        return found


def final(experiment: Experiment, means: Means) -> RunResult:
    """Handoff and final training of an experiment whose search is done.

    Raises:
        UsageError: its search has not ended.
    """
    means.place.fetch(experiment.folder, checkpoints=False)
    if not has_begun(experiment):
        raise UsageError(
            f"{experiment.folder}: no search was run", fix="run 'distsys search' with the same options first"
        )
    with _prepared(experiment, means) as (means, ending):
        found = read_search(experiment, means.console)
        if (missing := experiment.config.search.trials - len(found.rows)) > 0:
            raise UsageError(
                f"{missing} of {experiment.config.search.trials} trials are missing", fix="run 'distsys search' again"
            )
        handoff = run_handoff(experiment, found, means)
        return _finish(experiment, found, handoff, means, ending)


def train_one(experiment: Experiment, means: Means) -> Assessment:
    """Train the config as it stands for the whole final budget, without a search."""
    means.console.stage("reading data, trying a step")
    preflight(experiment)
    spec = RunSpec(experiment.config, "final", origin=experiment.origin)
    say_origin(spec, experiment, means, label="train")
    folder = experiment.root / f"{experiment.domain.name}-train-{spec.identity[:8]}"
    params, tags = _of_run(spec)
    record = RunRecord("train", folder.name, None, params, {**_tags(experiment), **tags})
    tracked = means.tracked(experiment.root, experiment.domain.name)
    with full_disk_named(folder), locked(folder), means.held(folder), tracked as means:
        outcome = train(
            spec, experiment.domain, folder=folder, record=record, through_ray=not means.is_local, means=means
        )
        if outcome.checkpoint is None:
            say_nearest(outcome, experiment.domain, "train", means.console)
        with noted_end(Spool(folder)) as ending:
            ending.verdicts = all_verdicts(outcome)
            return _examined(outcome, folder, means).assessment


@contextmanager
def _prepared(experiment: Experiment, means: Means) -> Iterator[tuple[Means, Ending]]:
    """Config and data tried, the folder locked, the parent run open, its end noted."""
    means.team.require_equal_shares(experiment.config.batch_size, parts=experiment.config.accumulate)
    means.console.stage("reading data, trying a step")
    preflight(experiment)
    folder = experiment.folder
    if text := nearest_text(experiment):
        means.console.say(text)
    tracked = means.tracked(experiment.root, experiment.domain.name)
    with full_disk_named(folder), locked(folder), means.held(folder), tracked as means:
        tags = _tags(experiment)
        require_same_data(experiment, tags, allowed=means.allows_changed_data, console=means.console)
        content = yaml.safe_dump(dump(experiment.config), sort_keys=False)
        spool = Spool.open(folder, experiment.record(tags))
        with noted_end(spool) as ending:
            if experiment.earlier is not None:
                take_earlier(experiment, experiment.earlier, means.console)
            spool.artifact(CONFIG).write_text(content, encoding="utf-8")
            space = yaml.safe_dump(experiment.space.content(), sort_keys=False)
            spool.artifact(SPACE).write_text(space, encoding="utf-8")
            _keep_manifests(experiment, spool)
            for known in [folder, *_runs_in(folder)]:
                means.watch(known)
            examined(experiment, means)
            yield means, ending
            means.console.clear()


def _keep_manifests(experiment: Experiment, spool: Spool) -> None:
    """What the frozen sets are made of, item by item, beside the config."""
    bundle = built_data(experiment.domain, experiment.config)
    for name, frozen in frozen_sets(bundle).items():
        if frozen.manifest:
            spool.artifact(f"{name}_items.jsonl").write_text("\n".join(frozen.manifest) + "\n", encoding="utf-8")


def _runs_in(folder: Path) -> list[Path]:
    """Runs of earlier commands: a store that was away then still lacks them."""
    return sorted(path.parent for pattern in ("*/*", "from-*/*/*") for path in folder.glob(f"{pattern}/run.json"))


@contextmanager
def _one_cluster(experiment: Experiment, means: Means) -> Iterator[None]:
    """One Ray session for search and handoff, none when both are done."""
    is_done = known_handoff(experiment, means.console) and open_study(experiment, means.console).remaining <= 0
    with nullcontext() if is_done else means.cluster():
        yield


def _tags(experiment: Experiment) -> dict[str, str]:
    bundle = built_data(experiment.domain, experiment.config)
    data = {f"data.{key}": str(value) for key, value in bundle.provenance.items()}
    digests = {f"data.{name}_digest": digest for name, digest in set_digests(bundle).items()}
    names = {"distsys.experiment": experiment.name, "distsys.preset": experiment.preset or ""}
    names["distsys.code"] = code_stamp(experiment.domain)
    names["distsys.given"] = " ".join(experiment.given)
    return {**environment_tags(Path(__file__).resolve().parents[2]), **data, **digests, **names}


def _of_run(spec: RunSpec) -> tuple[dict[str, Any], dict[str, str]]:
    """What trackers know of a final training: its config and where its weights come from."""
    params = flat_params(spec.config)
    return (params, {}) if spec.origin is None else (params | spec.origin.params(), spec.origin.tags())


def _finish(experiment: Experiment, search: SearchResult, handoff: Handoff, means: Means, ending: Ending) -> RunResult:
    outcome = _healthy_or_nearest(experiment, handoff, means)
    examined = _examined(outcome, experiment.home, means)
    found = examined.assessment
    ending.verdicts = found.verdicts
    means.console.stage("writing the report")
    report = write_report(experiment, search, handoff, outcome, examined)
    spool = Spool(experiment.folder)
    if experiment.origin is None:
        spool.log(found.metrics, step=0)
    for file in (report, experiment.home / "evaluation.json"):
        spool.artifact(str(file.relative_to(experiment.folder))).write_bytes(file.read_bytes())
    return RunResult(found, report)


def _healthy_or_nearest(experiment: Experiment, handoff: Handoff, means: Means) -> Outcome:
    """The first final training that ends in health.

    Where none does, the best that one had chosen before it turned sick; where there is none, what came nearest to its
    bands. Without a healthy candidate nothing is trained to the end: the nearest of them is named.

    Raises:
        StoppedByHealth: no candidate was trained far enough to be validated.
    """
    if handoff.chosen is None:
        nearest = nearest_candidate(experiment, handoff)
        say_nearest(nearest, experiment.domain, "handoff", means.console)
        return nearest
    outcomes: list[Outcome] = []
    stopped: StoppedByHealth | None = None
    for candidate, spec in _candidates(experiment, handoff, means):
        try:
            outcomes.append(_final_training(experiment, candidate, spec, means))
        except StoppedByHealth as error:
            stopped = error
            means.console.say(f"final: trial {candidate.trial} was stopped\n{error}")
            continue
        if outcomes[-1].ended_well:
            return outcomes[-1]
    if not outcomes:
        assert stopped is not None, "a handoff has a healthy candidate"
        raise stopped
    if (earlier := _best_before(outcomes)) is not None:
        means.console.say(
            f"final: none ended in health; {earlier.checkpoint} stands, from before its training turned sick"
        )
        return earlier
    nearest = min(outcomes, key=lambda outcome: outcome.distance)
    say_nearest(nearest, experiment.domain, "final", means.console)
    return nearest


def _best_before(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The one whose best checkpoint, from before it turned sick, is the best of all."""
    best: Outcome | None = None
    for outcome in outcomes:
        found, known = outcome.best, best.best if best else None
        if found and (known is None or outcome.selection.spec.better(found.value, than=known.value)):
            best = outcome
    return best


def _candidates(experiment: Experiment, handoff: Handoff, means: Means) -> Iterator[tuple[Candidate, RunSpec]]:
    """The winner and those that may follow it; a follower that other weights do not fit is left out.

    Raises:
        CheckpointError: they do not fit the winner.
    """
    ranked = handoff.ranked(experiment.domain.selection)
    for candidate in ranked[: 1 + experiment.config.handoff.fallbacks]:
        steps = {} if experiment.final_steps is None else {"final.steps": experiment.final_steps}
        spec = RunSpec(with_values(experiment.config, {**candidate.params, **steps}), "final", origin=experiment.origin)
        try:
            say_origin(spec, experiment, means, label=f"final: trial {candidate.trial}")
        except CheckpointError as error:
            if candidate is ranked[0]:
                raise _unsearched(error, candidate) from error
            means.console.say(f"final: trial {candidate.trial} is left out\n{error}")
            continue
        yield candidate, spec


def _unsearched(error: CheckpointError, candidate: Candidate) -> CheckpointError:
    """``error`` where what it says to set is set by the search."""
    own = [name for name in candidate.params if name.startswith(("data.", "model."))]
    before = f"take {', '.join(own)} out of the search space, then " if own else ""
    return CheckpointError(error.found, expected=error.expected, fix=f"{before}{error.fix}")


def _final_training(experiment: Experiment, candidate: Candidate, spec: RunSpec, means: Means) -> Outcome:
    folder = experiment.home / "final" / spec.identity[:8]
    params, tags = _of_run(spec)
    tags |= {"distsys.trial": str(candidate.trial), "distsys.phase": "final"}
    record = RunRecord("final", "final", str(experiment.folder), params, tags)
    if not (folder / OUTCOME).is_file():
        means.console.say(f"final: trial {candidate.trial}, {spec.steps} steps, strong weights, workers: {means.team}")
    elif means.team != Team():
        means.console.say(f"final: trial {candidate.trial} is trained already: nothing to do for workers: {means.team}")
    through_ray = not means.is_local and (means.team != Team() or _is_elsewhere(spec.config.device))
    outcome = train(spec, experiment.domain, folder=folder, record=record, through_ray=through_ray, means=means)
    if outcome.checkpoint is not None:
        manifest = Spool(folder).artifact("manifest.json")
        manifest.write_bytes((outcome.checkpoint / "manifest.json").read_bytes())
    return outcome


def _is_elsewhere(device: str) -> bool:
    """Whether the device is a GPU that only the cluster's other machines have."""
    return device == "cuda" and not torch.cuda.is_available()


def _examined(outcome: Outcome, folder: Path, means: Means) -> Examined:
    """The outcome's checkpoint on its test set: the best, or the nearest where none may be chosen, which stays sick."""
    path = outcome.checkpoint or outcome.nearest_checkpoint
    assert path is not None, "a run that ended was validated"
    means.place.fetch(outcome.folder)
    refused = () if outcome.checkpoint else [verdict for verdict in outcome.verdicts if verdict.status == "stop"]
    means.console.stage("evaluating on the test set")
    examined = examine(path, refused=refused)
    means.console.clear()
    examined.assessment.write(folder / "evaluation.json")
    return examined
