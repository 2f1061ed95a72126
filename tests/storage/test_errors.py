"""A store that cannot be used ends a command before any work, with what to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from distsys.errors import RunFailed, UsageError
from distsys.storage.objects import patiently
from distsys.storage.store import local_copy, local_of, open_place
from tests.storage.support import denying

Call = Callable[..., tuple[int, str, str]]


def refused(uri: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        open_place(uri)
    assert caught.value.expected
    return caught.value


def test_a_bucket_that_is_missing(s3: str, cache: Path) -> None:
    error = refused("s3://nowhere-to-be-found/prefix")
    assert error.found.startswith("s3://nowhere-to-be-found/prefix: there is no such bucket")
    assert "create it" in error.fix


def test_a_store_without_an_answer(s3: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    error = refused(s3)
    assert "no answer" in error.found
    assert "AWS_ENDPOINT_URL" in error.fix
    assert time.monotonic() - began < 60


def test_credentials_that_are_missing(s3: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that asks for them, as every real one does."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(cache))
    with denying() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        error = refused(s3)
    assert "access is denied, or there are no credentials" in error.found
    assert "AWS_ACCESS_KEY_ID" in error.fix


def test_what_is_no_uri_of_a_store(cache: Path) -> None:
    assert "names no bucket" in refused("s3:///prefix").found
    assert "expected: s3://bucket/prefix" in str(refused("ftp://host/prefix"))
    assert "unknown option 'color'" in refused("s3://bucket/prefix?color=red").found
    error = refused("s3://key:secret@bucket/prefix")
    assert "secret" not in str(error)
    assert "environment" in error.fix


def test_a_command_ends_with_code_2_before_any_work(s3: str, cache: Path, distsys: Call) -> None:
    code, _, said = distsys("run", "{outside}/sine.yaml", "--out", "s3://nowhere-to-be-found/prefix", "--local")
    assert code == 2
    assert "there is no such bucket" in said
    assert "expected: a bucket that exists" in said
    assert "fix: create it" in said
    assert not cache.exists()


def test_a_copy_of_nothing(s3: str, cache: Path) -> None:
    with pytest.raises(UsageError, match="there is nothing"):
        local_copy(f"{s3}/no-experiment")


def test_trying_leaves_nothing(s3: str, cache: Path) -> None:
    from distsys.storage.objects import Objects

    open_place(f"{s3}/tried")
    assert Objects(f"{s3}/tried").below("") == {}
    assert not cache.exists()


def test_stores_have_places_of_their_own(cache: Path) -> None:
    assert local_of("s3://a/b") != local_of("s3://a/c")
    assert local_of("s3://a/b").parent == cache
    assert local_of(Path("runs")) == Path("runs").absolute()


class Away:
    """A store that answers at its third call."""

    def __init__(self, said: str) -> None:
        self.said, self.calls = said, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls < 3:
            raise OSError(self.said)


def test_a_store_that_is_away_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    away = Away("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7")
    patiently(away, "s3://bucket/prefix")
    assert (away.calls, len(waited)) == (3, 2)


def test_what_asking_again_does_not_mend_is_said_at_once() -> None:
    away = Away("AWS Error ACCESS_DENIED during PutObject operation")
    with pytest.raises(RunFailed) as caught:
        patiently(away, "s3://bucket/prefix")
    assert away.calls == 1
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix
