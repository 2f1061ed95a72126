"""Ray's start is tried twice where that may help, and told in one message where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distsys.cluster.session import _Session, ray_session
from distsys.errors import RunFailed

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("failures", "tries"), [(1, 2), (2, 2)])
def test_a_start_is_tried_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, tries: int) -> None:
    import ray

    calls: list[dict[str, Any]] = []

    def init(**given: Any) -> None:
        calls.append(given)
        if len(calls) <= failures:
            raise ConnectionError("Failed to bind to port 6379:\n  address in use")

    monkeypatch.setattr(ray, "init", init)
    session = _Session(tmp_path)
    if failures < tries:
        session.start()
    else:
        with pytest.raises(RunFailed) as caught:
            session.start()
        assert str(caught.value).startswith(
            "Ray did not start: ConnectionError: Failed to bind to port 6379: address in use\n  fix: free memory"
        )
    assert len(calls) == tries
    assert calls[0]["_temp_dir"] == str(tmp_path)


def test_a_start_that_does_not_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    import ray

    ended = threading.Event()
    monkeypatch.setattr(ray, "init", lambda **given: ended.wait(30))
    monkeypatch.setattr("distsys.cluster.session._START_S", 0.3)
    with pytest.raises(RunFailed, match="Ray did not start within"):
        _Session(tmp_path).start()
    ended.set()


def test_what_listens_but_is_no_cluster_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import threading

    import ray

    ended = threading.Event()
    monkeypatch.setattr(ray, "init", lambda **given: ended.wait(30))
    monkeypatch.setattr("distsys.cluster.session._JOIN_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(RunFailed, match=f"RAY_ADDRESS is {address}, and what listens there does not let us join"):
            _Session(tmp_path).start()
    ended.set()


def test_what_ray_prints_is_no_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_Session, "start", lambda self: print("(raylet) a node went"))
    monkeypatch.setattr(_Session, "end", lambda self: None)
    with ray_session():
        pass
    print("{}")
    assert capsys.readouterr() == ("{}\n", "(raylet) a node went\n")
