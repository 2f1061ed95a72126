"""A store of each kind: a folder behind ``file://``, and an S3 server of this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = "http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of an S3 server without buckets."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield SERVER.format(port=port)
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URI in a bucket of that server, with credentials in the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    from pyarrow.fs import S3FileSystem

    S3FileSystem(endpoint_override=s3_server, allow_bucket_creation=True).create_dir("experiments")
    return "s3://experiments/first"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine keeps local copies."""
    place = tmp_path / "cache"
    monkeypatch.setenv("DISTSYS_CACHE", str(place))
    return place
