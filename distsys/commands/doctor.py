"""``distsys doctor``: what is wrong with an experiment, before anything is spent on it, or with a run that ended."""

from __future__ import annotations

import argparse

from distsys.commands.experiments import load
from distsys.commands.output import show
from distsys.errors import UsageError
from distsys.storage.store import is_in_store, local_copy, local_of


def doctor(options: argparse.Namespace) -> int:
    """``distsys doctor``: 3 where a search would be refused, or what a run chose must not be chosen."""
    _require_one_patient(options)
    if options.ended is not None:
        return _ended(options)
    from distsys.pipeline.doctor import diagnosed, table

    experiment = load(options, searches=False)
    found = diagnosed(experiment.domain, experiment.config)
    show(options, found.content(), table(found))
    return 3 if found.of("stop") else 0


def _ended(options: argparse.Namespace) -> int:
    from distsys.pipeline.ended import examined_runs, is_refused

    ended = str(local_copy(options.ended)) if is_in_store(options.ended) else options.ended
    root = local_of(options.out)
    found = examined_runs(ended, root=root, tracking=options.tracking, metric=options.metric)
    contents = [item.content() for item in found]
    show(options, contents, "\n".join(line for item in found for line in item.lines()))
    return 3 if is_refused(found) else 0


def _require_one_patient(options: argparse.Namespace) -> None:
    """Either a config or a run, and no option that belongs to the other."""
    fix = "distsys doctor CONFIG before a run, distsys doctor --run RUN after it"
    if (options.config is None) == (options.ended is None):
        both = (
            f"both CONFIG ({options.config}) and --run {options.ended}"
            if options.config
            else "neither CONFIG nor --run"
        )
        raise UsageError(both, expected="one of the two", fix=fix)
    is_run = options.ended is not None
    foreign = ("preset", "overrides", "space", "seed") if is_run else ("tracking", "metric")
    given = [name for name in foreign if getattr(options, name) not in (None, [])]
    if given:
        flag = f"--{given[0]}".replace("overrides", "set")
        raise UsageError(
            f"{flag} {'with --run' if is_run else 'without --run'}", expected="options of one kind", fix=fix
        )
