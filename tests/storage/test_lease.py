"""One driver an experiment: the second is refused, a dead one's place is taken, and who lost it is told."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from distsys.errors import UsageError
from distsys.storage import lease as lease_module
from distsys.storage.objects import Objects
from distsys.storage.store import Store


def hold(store: Store, said: list[str]) -> AbstractContextManager[None]:
    folder = store.local / "experiment"
    return store.held(folder, lost=said.append, say=said.append, sending=nullcontext)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_SETTLE_S", 0.05)
    monkeypatch.setattr(lease_module, "_LOOK_S", 0.05)
    monkeypatch.setattr(lease_module, "BEAT_S", 0.5)


def stores(uri: str, tmp_path: Path) -> tuple[Store, Store]:
    return Store(uri, tmp_path / "a"), Store(uri, tmp_path / "b")


def test_a_second_driver_is_refused_and_told_who_works_there(s3: str, tmp_path: Path) -> None:
    a, b = stores(f"{s3}/two", tmp_path)
    with hold(a, []):
        said: list[str] = []
        with pytest.raises(UsageError) as caught, hold(b, said):
            pytest.fail("two drivers hold one experiment")
        assert "was last heard of" in said[0]
        assert caught.value.exit_code == 2
        assert "another distsys works on experiment of s3://experiments/first/two: on " in caught.value.found
        assert "120 s" in caught.value.fix
    with hold(b, []):
        assert Objects(f"{s3}/two").read("experiment/.driver.json")
    assert Objects(f"{s3}/two").read("experiment/.driver.json") is None


def test_of_two_that_begin_at_once_one_holds_it(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_SETTLE_S", 1.0)
    found: list[str] = []
    begin, holding = threading.Barrier(2), threading.Barrier(2)

    def drive(store: Store) -> None:
        begin.wait()
        try:
            with hold(store, []):
                found.append("holds")
                holding.wait(30)
        except UsageError:
            found.append("refused")
            holding.wait(30)

    threads = [threading.Thread(target=drive, args=(store,)) for store in stores(f"{s3}/race", tmp_path)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == ["holds", "refused"]


def test_a_driver_that_is_heard_of_no_more_is_waited_for_and_taken_over_from(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 60.0)
    monkeypatch.setattr(lease_module, "STALE_S", 3.0)
    a, b = stores(f"{s3}/stale", tmp_path)
    said: list[str] = []
    objects, name = Objects(f"{s3}/stale"), "experiment/.driver.json"
    with hold(a, []):
        before = objects.read(name)
        with hold(b, said):
            assert objects.read(name) != before
    assert "it is taken over from after 3 s" in said[0]
    assert objects.read(name) is None, "b has let it go, and a, whose it was no more, has not taken it up again"


def test_a_driver_that_ends_meanwhile_is_waited_for(s3: str, tmp_path: Path) -> None:
    _, b = stores(f"{s3}/ends", tmp_path)
    Objects(f"{s3}/ends").write("experiment/.driver.json", b'{"host": "elsewhere", "token": "other"}')
    ending = threading.Timer(0.3, Objects(f"{s3}/ends").delete, ["experiment/.driver.json"])
    ending.start()
    with hold(b, []):
        ending.join()
        assert Objects(f"{s3}/ends").read("experiment/.driver.json")


def test_the_one_that_lost_it_hears_of_it_at_its_next_heartbeat(s3: str, tmp_path: Path) -> None:
    a, _ = stores(f"{s3}/lost", tmp_path)
    heard: list[str] = []
    told = threading.Event()

    def lost(text: str) -> None:
        heard.append(text)
        told.set()

    with a.held(a.local / "experiment", lost=lost, say=print, sending=nullcontext):
        Objects(f"{s3}/lost").write("experiment/.driver.json", b'{"token": "another", "host": "elsewhere"}')
        assert told.wait(10)
        file = a.local / "experiment" / "study.log"
        file.parent.mkdir(parents=True)
        file.write_text("of the driver that was cut off")
        a.try_push(file.parent)
    assert "the driver on elsewhere has taken experiment/.driver.json over" in heard[0]
    assert Objects(f"{s3}/lost").below("experiment") == {}, "what the other driver writes is not written over"


def test_a_dead_driver_of_this_machine_is_not_waited_for(s3: str, tmp_path: Path) -> None:
    a, _ = stores(f"{s3}/dead", tmp_path)
    holding = hold(a, [])
    holding.__enter__()
    killed = Objects(f"{s3}/dead").read("experiment/.driver.json")
    assert killed is not None
    again = Store(f"{s3}/dead", a.local)
    with hold(again, []):
        now = Objects(f"{s3}/dead").read("experiment/.driver.json")
    assert now != killed
    holding.__exit__(None, None, None)
