"""The whole way over a cluster of this machine: up, plan, submit, logs, stop, plain Ray, down; and nothing is left."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distsys.cluster import head
from distsys.tracking.spool import read_status

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.promise]
ROOT = Path(__file__).parents[2]
USUAL_PORTS = (6379, 8265, 10001, 44217, 44227, 52365)
LONG = [
    "--set",
    "search.steps=200000",
    "--set",
    "search.eval_every_steps=1000",
    "--set",
    "search.reduction_factor=null",
]


@dataclass
class Shell:
    """A user with a home and a project of their own."""

    project: Path
    environment: dict[str, str]

    def run(self, *words: str, code: int = 0, **more: str) -> str:
        done = subprocess.run(
            words, cwd=self.project, env={**self.environment, **more}, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def distsys(self, *words: str, code: int = 0, **more: str) -> str:
        return self.run(sys.executable, "-m", "distsys", *words, code=code, **more)

    def json(self, *words: str, **more: str) -> Any:
        return json.loads(self.distsys(*words, "--json", code=0, **more))


@pytest.fixture(scope="module")
def shell(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    home = tmp_path_factory.mktemp("home")
    path = os.pathsep.join([str(outside), str(ROOT)])
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    return Shell(outside, {**own, "HOME": str(home), "PYTHONPATH": path})


@pytest.fixture(scope="module")
def other_cluster() -> Iterator[None]:
    """Holds the ports that Ray takes by default, as another cluster of this machine would, if none does."""
    with ExitStack() as held:
        for port in USUAL_PORTS:
            listener = held.enter_context(socket.socket())
            with suppress(OSError):
                listener.bind((head.LOOPBACK, port))
                listener.listen()
        yield


@pytest.fixture(scope="module")
def cluster(shell: Shell, other_cluster: None) -> Iterator[dict[str, Any]]:
    yield shell.json("cluster", "up", "--cpus", "2")
    shell.distsys("cluster", "down")


def standing(shell: Shell) -> head.Head:
    record = json.loads(Path(shell.environment["HOME"], ".distsys-cluster", "cluster.json").read_text())
    return head.Head(**record)


def test_only_its_owner_is_let_in_and_only_from_here(shell: Shell, cluster: dict[str, Any]) -> None:
    token = Path(cluster["environment"]["RAY_AUTH_TOKEN_PATH"])
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    for folder in (token.parent, Path(standing(shell).scratch)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    request = urllib.request.Request(f"{cluster['dashboard']}/api/jobs/")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    refused.value.close()
    assert refused.value.code == 401
    request.add_header("Authorization", f"Bearer {token.read_text()}")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    places = {
        place.laddr.ip.removeprefix("::ffff:")
        for process in head._processes(standing(shell).scratch)
        for place in process.net_connections("inet")
        if place.status == "LISTEN"
    }
    assert places == {"127.0.0.1"}
    wrong = {"HOME": str(token.parents[1] / "other"), "RAY_AUTH_TOKEN": "0" * 64, "RAY_AUTH_MODE": "token"}
    assert "refuses us" in shell.distsys("jobs", "--address", cluster["dashboard"], code=1, **wrong)


def test_a_second_one_is_refused_and_a_plan_sees_the_nodes_of_the_first(
    shell: Shell, cluster: dict[str, Any], tmp_path: Path
) -> None:
    assert "a cluster stands already" in shell.distsys("cluster", "up", code=2)
    assert shell.json("cluster", "status")["jobs"] == []
    given = ["plan", "sine.yaml", "--space", "space.yaml", "--out", str(tmp_path / "runs")]
    found = shell.json(*given, **cluster["environment"])["capacity"]
    assert found["is_cluster"]
    assert [(node["cpus"], node["is_driver"]) for node in found["nodes"]] == [(2, True)]
    assert found["together"] == 2
    refused = shell.distsys(*given, "--set", "cpu_threads=3", code=2, **cluster["environment"])
    assert "no room for a trial of 3 CPUs (127.0.0.1: 2 CPUs, 0 GPUs)" in refused


def test_an_experiment_is_submitted_and_followed_and_plain_ray_does_the_same(
    shell: Shell, cluster: dict[str, Any], tmp_path: Path
) -> None:
    given = ["sine.yaml", "--space", "space.yaml", "--preset", "tiny", "--out", str(tmp_path)]
    said = shell.distsys("submit", *given, "--follow")
    assert "took along 5 files" in said
    assert "better than every baseline" in said
    (report,) = tmp_path.glob("sine-tiny-*/report.html")
    access = {name: value for name, value in cluster["environment"].items() if name != "RAY_ADDRESS"}
    ray = str(Path(sys.executable).with_name("ray"))
    plain = ["job", "submit", "--address", cluster["dashboard"], "--working-dir", ".", "--", "distsys", "run"]
    before = report.stat().st_mtime_ns
    assert "better than every baseline" in shell.run(ray, *plain, *given, **access)
    assert report.stat().st_mtime_ns >= before
    jobs = shell.json("jobs")
    assert [job["status"] for job in jobs] == ["SUCCEEDED", "SUCCEEDED"]
    assert "better than every baseline" in shell.distsys("logs", jobs[0]["name"])


@pytest.mark.usefixtures("cluster")
def test_a_job_that_is_stopped_saves_first(shell: Shell, tmp_path: Path) -> None:
    job = shell.json("submit", "sine.yaml", "--space", "space.yaml", *LONG, "--no-doctor", "--out", str(tmp_path))[
        "job"
    ]
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("sine-*/trials/*/metrics.jsonl")):
        assert time.monotonic() < deadline, shell.distsys("logs", job)
        time.sleep(0.1)
    assert f"{job}: stopped" in shell.distsys("stop", job)
    (folder,) = tmp_path.glob("sine-*")
    assert read_status(folder).status == "interrupted"
    assert "interrupted by signal 15" in shell.distsys("logs", job, "--follow", code=143)
    assert "has ended: stopped" in shell.distsys("stop", job, code=2)
    assert "no job 'raysubmit_x'" in shell.distsys("logs", "raysubmit_x", code=2)


def test_down_stops_what_runs_and_leaves_nothing(shell: Shell, cluster: dict[str, Any], tmp_path: Path) -> None:
    was = standing(shell)
    job = shell.json("submit", "sine.yaml", "--space", "space.yaml", *LONG, "--no-doctor", "--out", str(tmp_path))[
        "job"
    ]
    assert job in shell.distsys("cluster", "down")
    assert head._processes(was.scratch) == []
    assert not Path(was.scratch).exists()
    left = {path.name for path in Path(shell.environment["HOME"]).iterdir()}
    assert left <= {".cache", ".config"}  # matplotlib's, of the jobs
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(cluster["dashboard"])
    assert "no cluster" in shell.distsys("cluster", "status")
    assert "no Ray cluster is named" in shell.distsys("jobs", code=2)
