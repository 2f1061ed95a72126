"""Whole commands in forked processes: quick to start, and killed before any chosen change of a file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_LONGEST_S = 180.0
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_PRELOADED = ("torch", "optuna", "mlflow", "scipy.stats", "matplotlib.figure", "distsys.cli", "distsys.pipeline.run")
SETTINGS = ("search.trials=3", "search.startup_trials=3", "search.reduction_factor=null")
RUN = ("run", "--local", *(word for item in SETTINGS for word in ("--set", item)))
LONG = (*RUN, "--set", "final.steps=100", "--set", "final.eval_every_steps=10")


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it said, and how many changes of files it had come to."""

    code: int
    said: str
    changes: int


class Command:
    """A command that runs beside us.

    Args:
        place: the folder of the domain.
        out: its ``--out``, made where it is missing.
        kill_before: number of the change below ``out`` before which it is killed; 0 lets it end.
        variables: of its environment.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        *,
        place: Path,
        out: Path,
        kill_before: int = 0,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        first, *more = arguments
        given = [first, str(place / "sine.yaml"), "--preset", "tiny", "--out", str(out)]
        given += ["--space", str(place / "space.yaml"), *more]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*_PRELOADED, __name__])
        self._said, self._changes = place / f"said-{out.name}", context.Value("i", 0)
        known = {"SINE_MARK": str(place / "mark"), **(variables or {})}
        self._process: ForkServerProcess = context.Process(
            target=_run,
            args=(given, str(place), str(out), str(self._said), kill_before, self._changes, known),
        )
        self._process.start()

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def ended(self) -> Ended:
        """Wait for its end."""
        self._process.join(_LONGEST_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode
        assert code is not None
        self._process.close()
        return Ended(code, self._said.read_text(), self._changes.value)


def ended(
    arguments: tuple[str, ...],
    *,
    place: Path,
    out: Path,
    kill_before: int = 0,
    variables: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command to its end, or until it is killed."""
    return Command(arguments, place=place, out=out, kill_before=kill_before, variables=variables).ended()


def _run(
    given: list[str], place: str, out: str, said: str, kill_before: int, changes: Any, variables: Mapping[str, str]
) -> None:
    """In the forked process."""
    os.environ.update(variables)
    sys.path.insert(0, place)
    stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if not (event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES)):
            return
        if not str(arguments[0]).startswith(out):
            return
        changes.value += 1
        if changes.value == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    from distsys.cli import main

    _track_local_runs_too()
    sys.exit(main(given))


def _track_local_runs_too() -> None:
    """What is without Ray for the sake of speed is mirrored all the same."""
    from distsys.pipeline.means import Means

    tracked = Means.tracked

    @contextmanager
    def always(means: Means, root: Path, name: str) -> Iterator[Means]:
        with tracked(replace(means, is_local=False), root, name) as mirrored:
            yield replace(means, mirror=mirrored.mirror)

    Means.tracked = always  # type: ignore[method-assign,assignment]
