"""Commands that run an experiment as a job of a Ray cluster."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

from distsys.commands.output import show
from distsys.errors import UsageError
from distsys.storage.store import local_of

if TYPE_CHECKING:
    from distsys.cluster.jobs import Job, Jobs

_STOPPED = 143
"""Exit code of a job that was stopped: 128 and SIGTERM."""


def submit(options: argparse.Namespace) -> int:
    """``distsys submit``: with ``--follow`` the exit code is the job's."""
    from distsys.cluster.jobs import Jobs, dashboard_address, is_on_loopback
    from distsys.cluster.packing import collected
    from distsys.pipeline.submission import command_of

    address, root = dashboard_address(options.address), options.working_dir.resolve()
    is_here = is_on_loopback(address)
    package = collected(root, limit_mb=options.limit_mb, without=local_of(options.out))
    command = command_of(options, package, is_here=is_here)
    jobs = Jobs(address)
    name = jobs.submit(shlex.join(command), package, grace_s=options.grace)
    megabytes = package.num_bytes / 1e6
    content = {"job": name, "address": address, "files": len(package.files), "bytes": package.num_bytes}
    lines = [
        f"took along {len(package.files)} files, {megabytes:.1f} MB, of {root}",
        f"job {name} runs at {address}",
        f"  distsys logs {name} --follow",
        f"  distsys stop {name}",
    ]
    show(options, {**content, "command": command}, "\n".join(lines))
    return _follow(jobs, name, sys.stderr if options.json else sys.stdout) if options.follow else 0


def jobs(options: argparse.Namespace) -> int:
    """``distsys jobs``."""
    found = _jobs(options).all()
    lines = [f"{job.name}  {job.status:<9}  {_when(job)}  {job.command}" for job in found]
    show(options, [vars(job) for job in found], "\n".join(lines) or "no jobs")
    return 0


def logs(options: argparse.Namespace) -> int:
    """``distsys logs``."""
    found = _jobs(options)
    job = found.one(options.job)
    if options.follow and not job.has_ended:
        return _follow(found, job.name, sys.stdout)
    text = found.logs(job.name)
    show(options, {"job": job.name, "status": job.status, "logs": text}, text.rstrip("\n"))
    return _code(job) if options.follow else 0


def stop(options: argparse.Namespace) -> int:
    """``distsys stop``."""
    found = _jobs(options)
    job = found.one(options.job)
    if job.has_ended:
        raise UsageError(f"job '{job.name}' has ended: {job.status.lower()}", expected="one that runs")
    (after,) = found.stop([job])
    text = f"{after.name}: {after.status.lower()}; the same 'distsys submit' goes on from what it saved"
    show(options, vars(after), text)
    return 0


def _jobs(options: argparse.Namespace) -> Jobs:
    from distsys.cluster.jobs import Jobs, dashboard_address

    return Jobs(dashboard_address(options.address))


def _follow(jobs: Jobs, name: str, stream: Any) -> int:
    """The job's words until it ends; its exit code. Ctrl-C ends the following, not the job."""
    try:
        for text in jobs.follow(name):
            print(text, end="", file=stream, flush=True)
        (job,) = jobs.wait([name], timeout_s=30)
    except KeyboardInterrupt:
        print(f"\n{name} goes on; 'distsys stop {name}' ends it", file=sys.stderr)
        raise
    if job.status != "SUCCEEDED":
        print(f"{name}: {job.status.lower()}{_why(job)}", file=sys.stderr)
    return _code(job)


def _why(job: Job) -> str:
    """Ray's words where the command never began; its own stand in the log."""
    return f": {job.message}" if job.exit_code is None and job.status == "FAILED" else ""


def _code(job: Job) -> int:
    if job.status == "STOPPED":
        return _STOPPED
    if job.exit_code is None:
        return 0 if job.status == "SUCCEEDED" else 1
    return job.exit_code if job.exit_code >= 0 else 128 - job.exit_code


def _when(job: Job) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started_s)) if job.started_s else " " * 19
