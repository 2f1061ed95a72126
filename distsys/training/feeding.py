"""Batches made ahead by threads, in the order in which a run asks for them; items depend on their index alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread

import torch

from distsys.config.schema import FeedingConfig
from distsys.domains.protocol import Batch, SimulatedSource, TrainSource, to_device
from distsys.errors import DistsysError

Parts = list[Batch]
_Task = tuple[int, "Future[Parts]"]
_PATIENCE_S = 5.0
"""A thread that makes a batch at the end is waited for so long, one that hangs no longer."""


class Feeder:
    """What a run is trained on at each step.

    Args:
        source: the training items.
        indices_of: those of a step, in parts.
        steps: of the run; none is made beyond.
        device: where batches are used; towards a CUDA device they are pinned, and moved without waiting.
    """

    def __init__(
        self,
        source: TrainSource,
        indices_of: Callable[[int], Sequence[Sequence[int]]],
        *,
        steps: int,
        device: torch.device,
        settings: FeedingConfig,
    ) -> None:
        simulated = source.on(device) if device.type == "cuda" and isinstance(source, SimulatedSource) else None
        self._source, self._is_made_there = simulated or source, simulated is not None
        self._indices_of, self._steps = indices_of, steps
        self._device, self._settings = device, settings
        self._tasks: SimpleQueue[_Task | None] | None = None
        self._due: deque[_Task] = deque()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Within, the config's threads make batches ahead; what they have made at the end is dropped.

        A device that makes its own batches needs no threads: it is told of them and of the step in one go.
        """
        if self._settings.workers == 0 or self._is_made_there:
            yield
            return
        self._tasks = SimpleQueue()
        threads = [
            Thread(target=_serve, args=(self._tasks, self._made), daemon=True) for _ in range(self._settings.workers)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._drop()
            for _ in threads:
                self._tasks.put(None)
            self._tasks = None
            for thread in threads:
                thread.join(_PATIENCE_S)

    def batches(self, step: int) -> Parts:
        """The parts of ``step`` (from 0), on the device; of any step, though one after the other is fastest.

        Raises:
            Exception: what making them raised, with the items named.
        """
        if self._tasks is None:
            made = self._made(step)
        else:
            if self._due and self._due[0][0] != step:
                self._drop()
            self._order(step, self._tasks)
            made = self._due.popleft()[1].result()
            self._order(step + 1, self._tasks)
        return [to_device(part, self._device) for part in made]

    def _order(self, first: int, tasks: SimpleQueue[_Task | None]) -> None:
        """All of the steps from ``first`` on that may wait; at least that one."""
        begin = self._due[-1][0] + 1 if self._due else first
        for step in range(begin, max(first + 1, min(first + self._settings.ahead, self._steps))):
            task: _Task = (step, Future())
            self._due.append(task)
            tasks.put(task)

    def _drop(self) -> None:
        for _, future in self._due:
            future.cancel()
        self._due.clear()

    def _made(self, step: int) -> Parts:
        return [self._part(indices, step) for indices in self._indices_of(step)]

    def _part(self, indices: Sequence[int], step: int) -> Batch:
        try:
            batch = self._source.batch(indices, progress=step / self._steps)
        except Exception as error:
            where = f"making items {indices[0]} to {indices[-1]}, of step {step + 1}"
            if isinstance(error, DistsysError):
                error.found = f"{error.found} ({where})"
            else:
                error.add_note(where)
            raise
        if self._device.type != "cuda" or self._is_made_there:
            return batch
        return {name: tensor.pin_memory() for name, tensor in batch.items()}


def _serve(tasks: SimpleQueue[_Task | None], make: Callable[[int], Parts]) -> None:
    """A thread's life: make what is asked for until None comes."""
    while (task := tasks.get()) is not None:
        step, future = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(make(step))
            except BaseException as error:
                future.set_exception(error)
