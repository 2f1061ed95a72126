"""A Ray cluster of this machine alone: on loopback, behind a token of its own, and gone without a trace."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from distsys.errors import RunFailed, UsageError
from distsys.files import num_cpus, write_json

LOOPBACK = "127.0.0.1"
_GCS_PORT, _DASHBOARD_PORT = 6379, 8265
_START_S, _END_S, _KILL_S = 120.0, 20.0, 5.0
_SHORT = "/tmp"  # noqa: S108 - the folder in it is made by mkdtemp
_MARK = "DISTSYS_CLUSTER"
_SHOWN = 600
"""Characters of Ray's own words where it does not start."""


@dataclass(frozen=True)
class Head:
    """A cluster that stands, as its file tells it.

    Args:
        pid: of the process that started all others and ends with them.
        address: for ``RAY_ADDRESS``.
        dashboard: for jobs and for a browser.
        scratch: Ray's folder for logs and sockets, which only its owner can enter.
    """

    pid: int
    address: str
    dashboard: str
    scratch: str
    cpus: int

    @classmethod
    def read(cls) -> Self | None:
        """The one that was started and not taken down, whether or not it still answers."""
        path = home() / "cluster.json"
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    @property
    def is_alive(self) -> bool:
        return bool(_processes(self.scratch))

    def environment(self) -> dict[str, str]:
        """What a process needs to join it."""
        return {"RAY_ADDRESS": self.address, **access()}


def home() -> Path:
    """The folder of the cluster's token and record, for its owner alone."""
    return Path.home() / ".distsys-cluster"


def token_file() -> Path:
    """Where the token is while a cluster stands."""
    return home() / "token"


def access() -> dict[str, str]:
    """What a process needs to be let in."""
    # The last one: else Ray takes the address of a network card for that of this node, and listens on all of them.
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file()),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def start(*, cpus: int | None) -> Head:
    """Start the cluster and wait until it answers.

    Raises:
        UsageError: one stands already.
        RunFailed: Ray does not start.
    """
    known = Head.read()
    if known is not None and known.is_alive:
        raise UsageError(f"a cluster stands already at {known.dashboard}", fix="'distsys cluster down' ends it")
    if known is not None:
        end(known)
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    home().chmod(0o700)
    _write_token(secrets.token_hex(32))
    # Sockets need a short path. Ray opens its own folder to all; the one around it stays closed.
    scratch = tempfile.mkdtemp(prefix="distsys-ray-", dir=_SHORT if Path(_SHORT).is_dir() else None)
    gcs, dashboard = _free_port(_GCS_PORT), _free_port(_DASHBOARD_PORT)
    cpus = num_cpus() if cpus is None else cpus
    process = _launched(_command(gcs, dashboard, scratch, cpus), scratch)
    head = Head(process.pid, f"{LOOPBACK}:{gcs}", f"http://{LOOPBACK}:{dashboard}", scratch, cpus)
    try:
        write_json(home() / "cluster.json", asdict(head))
        _wait_until_it_answers(process, head)
    except BaseException:
        end(head)
        process.wait()
        raise
    process.returncode = 0  # it outlives this command, which does not wait for it
    return head


def _launched(command: list[str], scratch: str) -> subprocess.Popen[bytes]:
    with _log_of(scratch).open("wb") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=_environment(scratch),
            cwd=scratch,
            start_new_session=True,
        )


def _log_of(scratch: str) -> Path:
    return Path(scratch, "start.log")


def _command(gcs: int, dashboard: int, scratch: str, cpus: int) -> list[str]:
    place = ["--node-ip-address", LOOPBACK, "--port", str(gcs), "--temp-dir", f"{scratch}/ray", "--num-cpus", str(cpus)]
    pages = ["--dashboard-host", LOOPBACK, "--dashboard-port", str(dashboard)]
    # By default two clusters of one machine would share these, and the jobs of the second one fail.
    others = ["--dashboard-agent-listen-port", str(_free_port(0)), "--ray-client-server-port", str(_free_port(0))]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    return [*ray, *place, *pages, *others]


def _environment(scratch: str) -> dict[str, str]:
    """A job's command is looked for where this one was found."""
    own = {
        **access(),
        _MARK: scratch,
        **{name: str(_free_port(0)) for name in ("AUTOSCALER_METRIC_PORT", "DASHBOARD_METRIC_PORT")},
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    return {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")} | own


def _write_token(token: str) -> None:
    token_file().unlink(missing_ok=True)
    descriptor = os.open(token_file(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(token)


def _free_port(wanted: int) -> int:
    """``wanted``, or any other where it is taken or 0."""
    for port in dict.fromkeys((wanted, 0)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RunFailed("no port is free on 127.0.0.1", fix="end what listens there")


def _wait_until_it_answers(process: subprocess.Popen[bytes], head: Head) -> None:
    request = urllib.request.Request(f"{head.dashboard}/api/jobs/")  # noqa: S310 - on loopback
    request.add_header("Authorization", f"Bearer {token_file().read_text()}")
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
            return
        time.sleep(0.1)
    said = _log_of(head.scratch).read_text(encoding="utf-8", errors="replace").strip()[-_SHOWN:]
    raise RunFailed(f"Ray does not start: {said}", expected=f"a dashboard at {head.dashboard}")


def end(head: Head) -> None:
    """End every process of the cluster and remove its folder, token and record."""
    for number, patience in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _KILL_S)):
        for process in _processes(head.scratch):
            if number == signal.SIGKILL or process.pid == head.pid:  # which ends the others in their order
                _send(process, number)
        deadline = time.monotonic() + patience
        while _processes(head.scratch) and time.monotonic() < deadline:
            time.sleep(0.1)
    shutil.rmtree(head.scratch, ignore_errors=True)
    shutil.rmtree(home(), ignore_errors=True)


def _send(process: Any, number: signal.Signals) -> None:
    with suppress(_psutil().NoSuchProcess):
        process.send_signal(number)


def _processes(scratch: str) -> list[Any]:
    """Those of the cluster, jobs too: each has the mark in its environment."""
    psutil, found = _psutil(), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == scratch and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]


def _psutil() -> Any:
    """The one that Ray brings along, without Ray: that settles at its import how it is let in."""
    ray = importlib.util.find_spec("ray")
    if ray is None:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")
    folders = [str(Path(place, "thirdparty_files")) for place in ray.submodule_search_locations or ()]
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    return importlib.import_module("psutil")
