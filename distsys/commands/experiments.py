"""Commands that search and train."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.commands.output import require_writable, show
from distsys.console import wrapped
from distsys.errors import UsageError
from distsys.storage.mounts import require_locks
from distsys.storage.place import SHARED, Place
from distsys.storage.store import local_copy, local_of, open_place

if TYPE_CHECKING:
    from distsys.console import Console
    from distsys.pipeline.experiment import Experiment
    from distsys.pipeline.means import Means
    from distsys.pipeline.run import RunResult


def load(options: argparse.Namespace, *, searches: bool = True) -> Experiment:
    from distsys.pipeline.experiment import load_experiment

    overrides = [*options.overrides, *([f"seed={options.seed}"] if options.seed is not None else [])]
    return load_experiment(
        options.config,
        root=local_of(options.out),
        preset=options.preset,
        overrides=overrides,
        space=options.space,
        searches=searches,
    )


def _started(options: argparse.Namespace, experiment: Experiment, place: Place) -> Experiment:
    """``experiment`` from the weights that ``--from`` names, by their place or by their name below ``--out``."""
    from distsys.console import Console
    from distsys.pipeline.start import started_from

    if options.origin is None:
        if options.reset_optimizer:
            raise UsageError("--reset-optimizer without --from", fix="name the weights to start from by --from")
        return experiment
    named = named_place(options.origin, place)
    console = Console(quiet=options.quiet or options.json)
    return started_from(experiment, named, reset_optimizer=options.reset_optimizer, console=console)


def named_place(name: Path | str, out: Place) -> Path:
    """What ``name`` is by its path, by its URI or by its name below ``out``; fetched where that is a store."""
    if isinstance(name, str) or name.exists():
        return local_copy(name)
    there = out.local / name
    if not name.is_absolute():
        out.fetch(there)
    return there if there.exists() else name.absolute()


def _informed(options: argparse.Namespace, place: Place) -> Experiment:
    """The experiment, which begins with what that of ``--from`` found."""
    experiment = load(options)
    return experiment if options.earlier is None else replace(experiment, earlier=named_place(options.earlier, place))


def _free(experiment: Experiment) -> Experiment:
    """``experiment``, refused at once where another driver works on it."""
    from distsys.pipeline.experiment import locked

    if experiment.folder.is_dir():
        with locked(experiment.folder):
            pass
    return experiment


def opened(options: argparse.Namespace) -> Place:
    """``--out`` of a command that writes to it, tried before any work."""
    _require_lasting(options.out)
    place = open_place(options.out)
    require_writable(place.local, option=f"--out {options.out}")
    require_locks(place.local, option=f"--out {options.out}")
    return place


def _require_lasting(out: Path | str) -> None:
    """Ray unpacks a job's working directory into a cache that it may delete."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and isinstance(out, Path) and not out.is_absolute():
        raise UsageError(
            f"--out {out} inside a Ray job",
            expected="an absolute path on storage that every node sees, or a store",
            fix="distsys run ... --out /absolute/folder, or --out s3://bucket/prefix",
        )


def console_of(options: argparse.Namespace) -> Console:
    from distsys.console import Console

    return Console(quiet=options.quiet or options.json)


def means(options: argparse.Namespace, place: Place = SHARED, console: Console | None = None) -> Means:
    console = console or console_of(options)
    console.stage("loading PyTorch")
    from distsys.pipeline.means import Means
    from distsys.training.team import Team

    fewest, most = getattr(options, "workers", (1, 1))
    team = Team(fewest, most, dict(getattr(options, "labels", [])))
    if options.local and team != Team():
        raise UsageError(
            "--local with --workers or --label", expected="one worker in this process", fix="leave out one of the two"
        )
    return Means(
        console,
        team=team,
        is_local=options.local,
        examines=not getattr(options, "no_doctor", True),
        is_verbose=getattr(options, "verbose", False),
        allows_changed_data=getattr(options, "allow_changed_data", False),
        place=place,
    )


def run(options: argparse.Namespace) -> int:
    place = opened(options)
    experiment = _free(_informed(options, place))
    given = means(options, place)
    from distsys.pipeline import run

    return _ended(options, run.run(experiment, given), given)


def final(options: argparse.Namespace) -> int:
    place = opened(options)
    experiment = _started(options, _free(load(options)), place)
    given = means(options, place)
    from distsys.pipeline import run

    return _ended(options, run.final(experiment, given), given)


def _ended(options: argparse.Namespace, result: RunResult, given: Means) -> int:
    from distsys.pipeline.report import final_lines

    out = None if options.local else options.out
    show(options, asdict(result.assessment), "\n".join(final_lines(result.assessment, result.report, out)))
    return _code(given, is_sick=result.assessment.is_sick)


def _code(given: Means, *, is_sick: bool) -> int:
    """Exit code of a command that did its work: 1 where a run cannot be tracked."""
    return 3 if is_sick else 1 if given.untold else 0


def search(options: argparse.Namespace) -> int:
    place = opened(options)
    experiment = _free(_informed(options, place))
    given = means(options, place)
    from distsys.pipeline import run
    from distsys.report.table import text_table
    from distsys.report.verdicts import health_word, verdict_text

    result = run.search(experiment, given)
    rows = [[f"trial {row.number}", row.value, health_word(row.verdicts)] for row in result.ranked()]
    table = text_table(["trial", result.metric.name, "health"], rows)
    text = "\n\n".join(part for part in (table, "\n".join(wrapped(verdict_text(result.verdicts)))) if part)
    show(options, [asdict(row) for row in result.rows], text)
    return _code(given, is_sick=False)


def train(options: argparse.Namespace) -> int:
    place = opened(options)
    experiment = _started(options, load(options, searches=False), place)
    given = means(options, place)
    from distsys.pipeline.report import assessment_text
    from distsys.pipeline.run import train_one

    found = train_one(experiment, given)
    show(options, asdict(found), f"{assessment_text(found)}\ncheckpoint: {found.checkpoint}")
    return _code(given, is_sick=found.is_sick)
