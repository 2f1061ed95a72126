"""Connecting to Ray: the cluster of a job when there is one, else a private one that ends with us."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from distsys.cluster.beside import Beside
from distsys.cluster.nodes import cluster_nodes, processes_that_fit, takes_gpu
from distsys.cluster.place import end_processes, own_place
from distsys.errors import DistsysError, RunFailed
from distsys.files import num_cpus
from distsys.training.interrupt import abandon, pending_signal, raise_if_interrupted

Value = TypeVar("Value")

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # ray.train.report() blocks until the controller polls: 1.9 s at the default of 2 s. Polling costs time of its own.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # The study is the truth; Tune's own snapshots are never read.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONWARNINGS": "ignore",
}
_START_S, _JOIN_S = 120.0, 15.0
_END_S = 10.0
_ANSWER_S = 5.0
"""For a cluster's address to take a connection."""
_LOOK_S, _MISSES = 5.0, 3
"""A joined cluster is asked this often whether it is there, and may miss this many times in a row."""
_STOP_S = 2.0
"""After a signal, for Ray's processes to save and stop by themselves; a small part of the whole grace."""


class _Session:
    """Ray as this process started or joined it, in ``place``."""

    def __init__(self, place: Path) -> None:
        self.place, self.beside = place, Beside()
        self._address: tuple[str, int] | None = None
        self._looked_at, self._missed = time.monotonic(), 0

    def start(self) -> None:
        """Raises RunFailed with what Ray said; a local start, which may meet a taken port, is tried twice."""
        if joins_cluster():
            self._address = _answering(os.environ["RAY_ADDRESS"])
        try:
            self._init()
        except Exception as error:
            if not isinstance(error, DistsysError) and not joins_cluster():
                return self._start_again()
            raise _not_started(error) from error

    def _start_again(self) -> None:
        self.end_at_once()
        try:
            self._init()
        except Exception as error:
            raise _not_started(error) from error

    def _init(self) -> None:
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        local: dict[str, Any] = {
            "address": "local",
            "num_cpus": num_cpus(),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": str(self.place),
        }
        until = time.monotonic() + (_JOIN_S if joins_cluster() else _START_S)

        def look() -> None:
            if time.monotonic() > until:
                raise _late()

        place = {} if joins_cluster() else local
        self.beside.call(
            lambda: ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **place),
            look=look,
        )
        logging.getLogger("ray").setLevel(logging.ERROR)

    def require_alive(self) -> None:
        """Raises RunFailed where Ray's processes on this machine died, or a joined cluster answers no more."""
        if self._address is None:
            from ray._private import worker

            dead = [name for name, _ in worker._global_node.dead_processes() if name in ("raylet", "gcs_server")]
            if dead:
                raise RunFailed(f"Ray's {' and '.join(dead)} died", fix=_RESUME)
        elif time.monotonic() - self._looked_at > _LOOK_S:
            self._missed = 0 if _answers(self._address) else self._missed + 1
            self._looked_at = time.monotonic()
            if self._missed >= _MISSES:
                raise RunFailed(f"the Ray cluster at {os.environ['RAY_ADDRESS']} answers no more", fix=_RESUME)

    def end(self) -> None:
        """Leave Ray, and end what was started of it."""
        import ray

        until = time.monotonic() + _END_S

        def look() -> None:
            if time.monotonic() > until:
                raise TimeoutError

        if pending_signal() is None and not self.beside.is_busy:
            try:
                self.beside.call(ray.shutdown, look=look)
            except Exception:
                self.end_at_once()
            except KeyboardInterrupt:
                self.end_at_once()
                raise
            self.beside.end()
        else:
            self.end_at_once()
        end_processes(self.place)

    def end_at_once(self) -> None:
        """Kill what was started, as it may hang: leaving a Ray whose processes are gone would wait for them."""
        import ray

        end_processes(self.place)
        atexit.unregister(ray.shutdown)
        abandon("Ray")


_RESUME = "the same command resumes; if it dies again, give it more memory or fewer search.concurrent_trials"
_current: list[_Session] = []


@contextmanager
def ray_session() -> Iterator[None]:
    """Ray for the duration of the block.

    Inside a Ray job (``RAY_ADDRESS`` is set) the running cluster is joined and left running; otherwise a
    cluster is started on this machine's loopback and stopped at the end. What Ray prints meanwhile, such as that a
    node went, goes to standard error: results stand alone on standard output.

    Raises:
        RunFailed: it did not start.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if _current:
        yield
        return
    with own_place() as place, redirect_stdout(sys.stderr):
        session = _Session(place)
        _current.append(session)
        try:
            if not ray.is_initialized():
                session.start()
            yield
        finally:
            session.end()
            _current.remove(session)


def scratch() -> Path:
    """A folder of this process that ends with its Ray session."""
    return _current[-1].place / "scratch"


def carried_out(work: Callable[[], Value], *, stop: Callable[[int], None], kept: str) -> Value:
    """What ``work``, a long call into Ray, gives; it is left where a signal or Ray's death ends it.

    Args:
        stop: called once with the number of a signal; what ``work`` gives within two seconds still counts.
        kept: what of the work a signal leaves.

    Raises:
        Interrupted: a signal was noted.
        RunFailed: Ray died.
    """
    session = _current[-1]
    asked_at: list[float] = []

    def look() -> None:
        if (number := pending_signal()) is None:
            session.require_alive()
        elif not asked_at:
            asked_at.append(time.monotonic())
            stop(number)
        elif time.monotonic() - asked_at[0] > _STOP_S:
            raise_if_interrupted(kept)

    value = session.beside.call(work, look=look)
    raise_if_interrupted(kept)
    return value


def _answering(address: str) -> tuple[str, int] | None:
    """Host and port of ``address``; None where it names none.

    Raises:
        RunFailed: nobody answers there.
    """
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not host or not port.isdigit():
        return None
    place = host.strip("[]"), int(port)
    if not _answers(place):
        raise RunFailed(
            f"RAY_ADDRESS is {address}, and no Ray cluster answers there",
            expected="the address of a running cluster, as 'ray start --head' prints it",
            fix="start it, correct RAY_ADDRESS, or unset it: then Ray is started on this machine alone",
        )
    return place


def _answers(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True


def _not_started(error: Exception) -> DistsysError:
    if isinstance(error, DistsysError):
        return error
    said = " ".join(str(error).split()) or type(error).__name__
    return RunFailed(f"Ray did not start: {type(error).__name__}: {said[:600]}", fix=_fix())


def _late() -> RunFailed:
    if not joins_cluster():
        return RunFailed(f"Ray did not start within {_START_S:.0f} s", fix=_fix())
    address = os.environ["RAY_ADDRESS"]
    return RunFailed(
        f"RAY_ADDRESS is {address}, and what listens there does not let us join within {_JOIN_S:.0f} s",
        expected="a Ray cluster, at the address that 'ray start --head' prints, not that of its dashboard",
        fix=_fix(),
    )


def _fix() -> str:
    if joins_cluster():
        return f"check the cluster at RAY_ADDRESS = {os.environ['RAY_ADDRESS']}, or unset RAY_ADDRESS"
    return "free memory, disk space or ports, or do without Ray by --local"


def joins_cluster() -> bool:
    """Whether a running cluster will be joined, whose machines may have what this one has not."""
    return "RAY_ADDRESS" in os.environ


def wants_gpu(device: str) -> bool:
    """Whether a process of ``device`` (``auto``, ``cpu``, ``cuda``) should be given one of the cluster's GPUs."""
    return takes_gpu(device, cluster_nodes())


def concurrent_trials(wanted: int | None, needs: Mapping[str, float], *, workers: int = 1) -> int:
    """Trials that fit on the cluster at a time, at most ``wanted``; 0 when none fits.

    Args:
        needs: of one worker, by Ray's name.
        workers: of one trial, which may lie on several nodes.
    """
    fitting = processes_that_fit(cluster_nodes(), cpus=int(needs["CPU"]), gpus=needs["GPU"]) // workers
    return fitting if wanted is None else min(fitting, wanted)
