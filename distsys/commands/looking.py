"""Commands that look at experiments as a whole."""

from __future__ import annotations

import argparse

from distsys.commands.experiments import named_place
from distsys.commands.output import show
from distsys.storage.store import reading


def report(options: argparse.Namespace) -> int:
    from distsys.console import Console
    from distsys.pipeline.reopened import reopened, report_again

    experiment = reopened(named_place(options.place, reading(options.out)))
    path = report_again(experiment, Console(quiet=options.json))
    show(options, {"report": str(path)}, f"report: {path}")
    return 0
