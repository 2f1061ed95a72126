"""Processes that share one trial's batches: the trial's own is the first of them, and starts the others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
import torch.distributed as dist
from ray.exceptions import RayError
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from distsys.cluster.away import Away
from distsys.cluster.sharing import Shared
from distsys.errors import RunFailed
from distsys.storage.place import Place
from distsys.tracking.spool import RunRecord
from distsys.training.stuck import stuck_ends
from distsys.training.trials import Reading, TrialRun
from distsys.training.workers import Workers, pick_device

_JOINED_S = 120.0
"""For all to have started and found each other."""
_TELLS_S = 2.0
"""For those to tell of it who failed, or died, before us."""


class Crew:
    """The workers of the trials of one process, kept from trial to trial.

    Args:
        count: workers with this one.
        device: as the config names it.
    """

    def __init__(self, count: int, *, device: str, shared: Shared | None, place: Place) -> None:
        self._count, self._device, self._shared, self._place = count, device, shared, place
        self._others: list[Any] = []

    def begin(self, content: Mapping[str, Any]) -> Workers | None:
        """Have all begin a run with this process, which is given its own place among them; None alone."""
        if self._count == 1:
            return None
        if not self._others:
            self._gathered()
        ray.get([other.begin.remote(content) for other in self._others])
        return Workers(pick_device(self._device), 0, self._count)

    def step(self, run: TrialRun) -> Reading:
        """Train until the next validation, all together.

        Raises:
            RayActorError: a worker died; the trial's process ends with it.
        """
        if not self._others:
            return run.step()
        asked = [other.step.remote() for other in self._others]
        threading.Thread(target=self._end_with, args=(asked,), name="crew", daemon=True).start()
        reading = run.step()
        if reading.failure is not None:
            try:
                others = _failures(asked)
            finally:
                self.dismiss()
            # Whose collective broke off because another worker failed knows nothing of the reason.
            return run.ended_by(others[0]) if others else reading
        ray.get(asked)
        return reading

    def _end_with(self, asked: Sequence[Any]) -> None:
        """End all others where one fails: only the end of a process ends what others wait for from it."""
        waiting = list(asked)
        while waiting:
            ended, waiting = ray.wait(waiting, num_returns=1)
            with suppress(RayError):
                if ray.get(ended[0]).failure is not None:
                    for other in self._others:
                        ray.kill(other)
                    return

    def dismiss(self) -> None:
        """End the others; the next run starts new ones."""
        for other in self._others:
            ray.kill(other)
        self._others = []
        if self._count > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _gathered(self) -> None:
        """Start the others, each where the trial was given room for it, and find each other."""
        group, options = get_current_placement_group(), ray.get_runtime_context().get_assigned_resources()
        needs = {"num_cpus": options.get("CPU", 1), "num_gpus": options.get("GPU", 0)}
        for rank in range(1, self._count):
            where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
            start = _Other.options(scheduling_strategy=where, **needs)  # type: ignore[attr-defined]  # Ray adds it
            self._others.append(start.remote(self._shared, self._place))
        address = f"tcp://{ray.util.get_node_ip_address()}:{_free_port()}"
        joined = [
            other.join.remote(address, rank, self._count, self._device)
            for rank, other in enumerate(self._others, start=1)
        ]
        _join(address, 0, self._count, self._device)
        ray.get(joined, timeout=_JOINED_S)


def _failures(asked: Sequence[Any]) -> list[Reading]:
    """What failed in the other workers; one that waits for us still has not.

    Raises:
        RayError: none failed, and one died.
    """
    ended, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_TELLS_S)
    found: list[Reading] = []
    deaths: list[RayError] = []
    for item in ended:
        try:
            found.append(ray.get(item))
        except RayError as error:
            deaths.append(error)
    failed = [reading for reading in found if reading.failure is not None]
    if deaths and not failed:
        raise deaths[0]
    return failed


def _free_port() -> int:
    with socket.create_server(("", 0)) as free:
        return int(free.getsockname()[1])


def _join(address: str, rank: int, count: int, device: str) -> None:
    backend = "nccl" if pick_device(device).type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, init_method=address, rank=rank, world_size=count)
    except Exception as error:
        raise RunFailed(
            f"{count} workers of a trial could not find each other at {address}: {error}",
            expected="nodes that reach each other's ports",
        ) from error


@ray.remote
class _Other:
    """A worker that is not the first, in a process of its own."""

    def __init__(self, shared: Shared | None, place: Place) -> None:
        self._shared, self._place = shared, place

    def join(self, address: str, rank: int, count: int, device: str) -> None:
        self._workers = Workers(pick_device(device), rank, count)
        _join(address, rank, count, device)

    def begin(self, content: Mapping[str, Any]) -> None:
        if self._shared is not None:
            self._shared.take_over()
            self._shared = None
        self._away = Away(self._place, Path(content["folder"]))
        record = RunRecord(**content["record"])
        self._run = TrialRun(content["spec"], self._away.folder, record, self._workers)

    def step(self) -> Reading:
        with stuck_ends(self._away.end_stuck):
            reading = self._run.step()
        if reading.ended:
            self._away.leave()
        return reading
