"""``distsys plan``: what an experiment will take, before anything is spent."""

from __future__ import annotations

import argparse

from distsys.commands.experiments import load, means
from distsys.commands.output import show


def plan(options: argparse.Namespace) -> int:
    """``distsys plan``: 2 where config, data or this machine do not let the experiment begin."""
    from distsys.pipeline.durations import Rates
    from distsys.pipeline.plan import planned
    from distsys.pipeline.plan_text import plan_content, plan_text

    given = means(options)
    found = planned(load(options), team=given.team, is_local=given.is_local)
    spent = Rates(options.cost_per_hour, options.watts).spent(found.whole.mid / 3600)
    show(options, plan_content(found, spent), plan_text(found, spent))
    return 0
