"""Jobs of a Ray cluster: submitted with a token, listed, followed, and stopped with time to save."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from distsys.cluster.asking import ray_answers, require_listener
from distsys.cluster.head import LOOPBACK, Head, access
from distsys.cluster.packing import Package
from distsys.errors import RunFailed, UsageError, did_you_mean

_GRACE = "distsys.grace_s"
_GRACE_S = 60
"""Time to save for jobs that were submitted by other means: as much as can be waited for without knowing it."""
_MARGIN_S = 15.0
"""Beyond its grace, until Ray says that a job has ended."""
_POLL_S = 0.2
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Job:
    """One job as the cluster knows it.

    Args:
        exit_code: of its command; None while it runs, and where it did not end by itself.
        started_s: since the epoch; None before.
    """

    name: str
    status: str
    command: str
    message: str
    exit_code: int | None
    started_s: float | None
    grace_s: int

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @classmethod
    def of(cls, details: Any) -> Self:
        """What Ray's ``JobDetails`` say."""
        started = details.start_time and details.start_time / 1000
        grace = int((details.metadata or {}).get(_GRACE, _GRACE_S))
        status, message = str(details.status.value), details.message or ""
        name = details.submission_id or details.job_id or ""
        return cls(name, status, details.entrypoint, message, details.driver_exit_code, started, grace)


def dashboard_address(given: str | None) -> str:
    """Where jobs are sent to: as given, by ``RAY_API_SERVER_ADDRESS``, or the cluster of this machine.

    Raises:
        UsageError: there is none of these.
    """
    named = given or os.environ.get("RAY_API_SERVER_ADDRESS")
    own = Head.read()
    found = named or (own.dashboard if own else None)
    if found is None:
        raise UsageError(
            "no Ray cluster is named",
            expected="--address URL, RAY_API_SERVER_ADDRESS, or a cluster of this machine",
            fix="'distsys cluster up' starts one here",
        )
    return found if "://" in found else f"http://{found}"


def is_on_loopback(address: str) -> bool:
    """Whether the cluster at ``address`` sees the files of this machine, at the same places."""
    return urlsplit(address).hostname in (LOOPBACK, "localhost", "::1")


class Jobs:
    """The jobs of the cluster at ``address``.

    Raises:
        RunFailed: (also by every method) it does not answer, or refuses us.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        own = Head.read()
        if own is not None and own.dashboard == address:
            os.environ.update(access())
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # RAY_ADDRESS would take the place of an argument
        with ray_answers(address):
            require_listener(address)
            from ray.job_submission import JobSubmissionClient

            for name in ("dashboard_sdk", "job.sdk"):
                logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)
            self._client = JobSubmissionClient(address)

    def submit(self, command: str, package: Package, *, grace_s: int) -> str:
        """Send ``package``, run ``command`` in it, and return the job's name.

        Args:
            grace_s: how long the job may take to save when it is stopped.
        """
        with tempfile.TemporaryDirectory(prefix="distsys-package-") as folder, ray_answers(self.address):
            target = Path(folder, "project.zip")
            package.write(target)
            environment = {"working_dir": str(target), "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(grace_s)}}
            return str(
                self._client.submit_job(
                    entrypoint=command, runtime_env=environment, metadata={_GRACE: str(grace_s)}, entrypoint_num_cpus=0
                )
            )

    def all(self) -> list[Job]:
        """Every job, the latest first."""
        with ray_answers(self.address):
            found = [Job.of(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: -(job.started_s or time.time()))

    def one(self, name: str) -> Job:
        """The job ``name``.

        Raises:
            UsageError: there is none of that name.
        """
        known = {job.name: job for job in self.all()}
        if name not in known:
            raise UsageError(f"no job '{name}' at {self.address}", fix=did_you_mean(name, known))
        return known[name]

    def logs(self, name: str) -> str:
        """All that it has printed."""
        with ray_answers(self.address):
            return str(self._client.get_job_logs(name))

    def follow(self, name: str) -> Iterator[str]:
        """What it prints, until it ends."""
        loop = asyncio.new_event_loop()
        lines = self._client.tail_job_logs(name)
        try:
            with ray_answers(self.address):
                while (text := loop.run_until_complete(anext(lines, None))) is not None:
                    yield text
        finally:
            loop.run_until_complete(lines.aclose())
            loop.close()

    def wait(self, names: Sequence[str], *, timeout_s: float) -> list[Job]:
        """The jobs once all have ended.

        Raises:
            RunFailed: one still runs.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found = [self.one(name) for name in names]
            running = [job.name for job in found if not job.has_ended]
            if not running:
                return found
            if time.monotonic() > deadline:
                raise RunFailed(f"{', '.join(running)} still runs after {timeout_s:.0f} s", fix="distsys jobs")
            time.sleep(_POLL_S)

    def stop(self, jobs: Sequence[Job]) -> list[Job]:
        """Ask the jobs to end, by SIGTERM, and wait while they save; one that takes too long is killed by Ray."""
        with ray_answers(self.address):
            for job in jobs:
                self._client.stop_job(job.name)
        patience = max((job.grace_s for job in jobs), default=0) + _MARGIN_S
        return self.wait([job.name for job in jobs], timeout_s=patience)
