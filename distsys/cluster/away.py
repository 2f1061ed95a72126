"""A run's folder as a process of the cluster has it: the driver's own, or a copy where nodes share no folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import ray

from distsys.storage.place import CACHE, Place
from distsys.training.spec import RunSpec
from distsys.training.stuck import end_worker


class Away:
    """Fetched at the start of the run, kept while it goes on.

    Args:
        place: of the driver.
        folder: the run's, as the driver names it.

    Raises:
        RunFailed: what keeps it did not answer for minutes.
    """

    def __init__(self, place: Place, folder: Path) -> None:
        self._driver = place
        self._place, self.folder = place.beside(folder, scratch=_scratch())
        self._place.fetch(self.folder)

    def own(self, spec: RunSpec) -> RunSpec:
        """``spec`` with the weights that it starts from where this process finds them."""
        if spec.origin is None or not Path(spec.origin.path).is_relative_to(self._driver.local):
            return spec
        _, path = self._driver.beside(Path(spec.origin.path), scratch=_scratch())
        self._place.fetch(path)
        return replace(spec, origin=replace(spec.origin, path=str(path)))

    def try_push(self) -> None:
        """Keep what the run has made by now, unless that is impossible now."""
        self._place.try_push(self.folder)

    def end(self) -> None:
        """Keep all of it; a copy of this process is needed no more.

        Raises:
            RunFailed: what keeps it did not answer for minutes.
        """
        self._place.push(self.folder)
        self.leave()

    def leave(self) -> None:
        """A copy of this process is needed no more."""
        self._place.forget(self.folder)

    def end_stuck(self, text: str) -> None:
        """Leave the process, whose main thread is stuck, with what it has said of that."""
        self._place.try_push(self.folder)
        end_worker(text)


def _scratch() -> Path:
    """For copies of this process; on a node that is given none, beside the files of its Ray, with which it goes."""
    from ray._private import worker

    base = os.environ.get(CACHE) or worker._global_node.get_session_dir_path()
    return Path(base) / "runs" / f"{ray.get_runtime_context().get_node_id()[:8]}-{os.getpid()}"
