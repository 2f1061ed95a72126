"""``distsys cluster``: a Ray cluster of this machine alone."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from distsys.commands.output import show
from distsys.errors import UsageError

if TYPE_CHECKING:
    from distsys.cluster.head import Head


def cluster(options: argparse.Namespace) -> int:
    """``distsys cluster up``, ``status`` and ``down``."""
    if options.cpus is not None and options.action != "up":
        raise UsageError(f"--cpus with '{options.action}'", expected="it with 'up'")
    return {"up": _up, "status": _status, "down": _down}[options.action](options)


def _up(options: argparse.Namespace) -> int:
    from distsys.cluster.head import start

    head = start(cpus=options.cpus)
    ways = [
        "distsys submit CONFIG",
        "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in head.environment().items()),
        "distsys cluster down",
    ]
    lines = [_line(head), "then:", *(f"  {way}" for way in ways)]
    show(options, _content(head), "\n".join(lines))
    return 0


def _status(options: argparse.Namespace) -> int:
    from distsys.cluster.head import Head

    head = Head.read()
    if head is None or not head.is_alive:
        text = (
            "no cluster"
            if head is None
            else f"the cluster at {head.dashboard} has ended: 'distsys cluster down' tidies"
        )
        show(options, {"running": False}, text)
        return 0
    from distsys.cluster.jobs import Jobs

    running = [job.name for job in Jobs(head.dashboard).all() if not job.has_ended]
    show(options, {**_content(head), "jobs": running}, f"{_line(head)}\njobs: {', '.join(running) or 'none'}")
    return 0


def _down(options: argparse.Namespace) -> int:
    from distsys.cluster.head import Head, end

    head = Head.read()
    if head is None:
        show(options, {"running": False, "stopped": []}, "no cluster")
        return 0
    try:
        stopped = _stop_all(head) if head.is_alive else []
    finally:
        end(head)
    show(options, {"running": False, "stopped": stopped}, f"the cluster is gone{_named(stopped)}")
    return 0


def _stop_all(head: Head) -> list[str]:
    """Names of the jobs that ran, each ended with time to save."""
    from distsys.cluster.jobs import Jobs

    jobs = Jobs(head.dashboard)
    return [job.name for job in jobs.stop([job for job in jobs.all() if not job.has_ended])]


def _named(stopped: list[str]) -> str:
    return f"; stopped before it: {', '.join(stopped)}" if stopped else ""


def _line(head: Head) -> str:
    return f"cluster at {head.dashboard}, {head.cpus} CPUs, on loopback, behind a token"


def _content(head: Head) -> dict[str, Any]:
    return {"running": True, "address": head.address, "dashboard": head.dashboard, "environment": head.environment()}
