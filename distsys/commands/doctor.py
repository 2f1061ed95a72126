"""``distsys doctor``: what is wrong with an experiment, before anything is spent on it."""

from __future__ import annotations

import argparse

from distsys.commands.experiments import load
from distsys.commands.output import show


def doctor(options: argparse.Namespace) -> int:
    """``distsys doctor``: 3 where a search would be refused."""
    from distsys.pipeline.doctor import diagnosed, table

    experiment = load(options, searches=False)
    found = diagnosed(experiment.domain, experiment.config)
    show(options, found.content(), table(found))
    return 3 if found.of("stop") else 0
